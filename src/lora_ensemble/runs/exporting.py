"""The saved ensemble of a run, or of several runs that are parts of one, in one folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lora_ensemble.disk.records import write_record
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.runs.folder import ENSEMBLE
from lora_ensemble.runs.member_parts import check_same_whole, in_order
from lora_ensemble.runs.run import Run


def copy_ensemble(runs: Sequence[Run], folder: Path) -> None:
    """Fill an existing folder with the ensemble of all runs.

    Raises ConfigurationError for runs that are not parts of one ensemble, hold the same member, or whose method keeps
    no folder for each member; FileFormatError for an ensemble that is not whole, and for copies that are not.
    """
    from lora_ensemble.engine.saving import MANIFEST, check_saved

    runs = in_order(runs)
    check_same_whole(runs)
    manifests = [check_saved(run.folder / ENSEMBLE) for run in runs]
    if len(runs) > 1 and any(len(m["member_folders"]) != m["members"] for m in manifests):
        raise ConfigurationError([f"ensembles of method {manifests[0]['method']!r} cannot be put into one folder"])
    for run in runs:
        shutil.copytree(run.folder / ENSEMBLE, folder, dirs_exist_ok=True)
    if len(runs) > 1:
        write_record(folder / MANIFEST, _merged(manifests))
    check_saved(folder)


def _merged(manifests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The manifest of all members."""
    merged = dict(manifests[0])
    merged["members"] = sum(m["members"] for m in manifests)
    merged["member_folders"] = [name for m in manifests for name in m["member_folders"]]
    if merged["config"]:
        merged["config"] = {**merged["config"], "members": merged["members"]}
    if all("files" in m for m in manifests):
        merged["files"] = {path: digest for m in manifests for path, digest in m["files"].items()}
    else:
        merged.pop("files", None)
    return merged
