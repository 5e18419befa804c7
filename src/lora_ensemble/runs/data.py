"""Whether the data of a run are still those that it was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_ensemble.disk.fingerprints import changed
from lora_ensemble.errors import FileFormatError, RunFolderError
from lora_ensemble.runs.records import FINISHED, RUN, read_record

_said: set[Path] = set()


def check_same_data(folder: Path, now: Mapping[str, str], record: str = RUN, *, validation: bool = False) -> None:
    """Raises RunFolderError, naming what changed and the ways out, where the training data are no longer those that
    the run in a folder was begun with. One of an older version did not record them: that is said, once. validation:
    whether the validation split has a say in what was trained, as with early stopping."""
    name = FINISHED if record == RUN and (folder / FINISHED).is_file() else record
    found = read_record(folder, name)
    if "data" not in found:
        not_recorded(folder)
        return
    names = changed(fingerprint_of(folder / name, found["data"]), now, training=True, validation=validation)
    if names:
        raise RunFolderError(
            f"the data of {folder} have changed since it was begun: {listed(names)}; give another folder with "
            "--output, or train it again from the start with --anew"
        )


def fingerprint_of(path: Path, value: Any) -> dict[str, str]:
    """A fingerprint that was read. Raises FileFormatError for anything else."""
    if not isinstance(value, dict) or not all(isinstance(digest, str) for digest in value.values()):
        raise FileFormatError(f"{path}: data is no mapping of names to digests")
    return value


def not_recorded(folder: Path) -> None:
    """Say once that nobody can know whether the data of a run have changed."""
    if folder.resolve() not in _said:
        _said.add(folder.resolve())
        warnings.warn(
            f"{folder} is of an older version, which did not record its data: a change goes unseen", stacklevel=3
        )


def listed(names: list[str]) -> str:
    """The first few of many names."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
