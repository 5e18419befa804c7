"""The saved ensemble of a run, or of several runs that are parts of one, in one folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from lora_ensemble.disk.files import atomic_write_json
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.runs.folder import ENSEMBLE
from lora_ensemble.runs.member_parts import check_same_whole, in_order
from lora_ensemble.runs.run import Run


def copy_ensemble(runs: Sequence[Run], folder: Path) -> None:
    """Fill an existing folder with the ensemble of all runs.

    Raises ConfigurationError for runs that are not parts of one ensemble, hold the same member, or whose method keeps
    no folder for each member.
    """
    from lora_ensemble.engine.saving import MANIFEST, read_json

    runs = in_order(runs)
    check_same_whole(runs)
    manifests = [read_json(run.folder / ENSEMBLE / MANIFEST) for run in runs]
    merged = manifests[0]
    if len(runs) > 1 and any(len(m["member_folders"]) != m["members"] for m in manifests):
        raise ConfigurationError([f"ensembles of method {merged['method']!r} cannot be put into one folder"])
    for run in runs:
        shutil.copytree(run.folder / ENSEMBLE, folder, dirs_exist_ok=True)
    if len(runs) == 1:
        return
    merged["members"] = sum(m["members"] for m in manifests)
    merged["member_folders"] = [name for m in manifests for name in m["member_folders"]]
    if merged["config"]:
        merged["config"]["members"] = merged["members"]
    atomic_write_json(folder / MANIFEST, merged)
