"""run.json and finished.json: what was asked for, and what came of it; with digests, and read with one clear line."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lora_ensemble.disk import records
from lora_ensemble.disk.digests import DIGEST, check_seal, digest_of_file
from lora_ensemble.errors import FileFormatError, RunFolderError
from lora_ensemble.experiment import Experiment

RUN = "run.json"
"""The experiment, the fingerprint of its data and the versions of the packages; written first."""
FINISHED = "finished.json"
"""The classes, what training took, and digests of run.json and of the ensemble; written last."""
ADOPTED = "adopted"
"""The field of both that says where an ensemble is from that was not trained in the folder."""
VERSION = 2
"""Of both files. Those of version 1 have no field `version`, no digests and no fingerprint of data."""

_PACKAGES = ("lora-ensemble", "torch", "transformers", "peft", "accelerate", "numpy", "timm", "torchvision")
_COST: dict[str, type | tuple[type, ...]] = {
    "steps": int,
    "seconds": float,
    "trainable_parameters": int,
    "peak_memory_bytes": (int, type(None)),
}


def write_run(
    path: Path, experiment: Experiment, data: dict[str, str], fields: Mapping[str, Any] | None = None
) -> None:
    """The record of a run, or of several. data: `Dataset.fingerprint`. fields: what else is to be recorded."""
    record = {
        **(fields or {}),
        "version": VERSION,
        "experiment": experiment.to_dict(),
        "fingerprint": experiment.fingerprint(),
        "data": data,
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }
    records.write_record(path, record)


def write_finished(folder: Path, fields: dict[str, Any]) -> None:
    """The last file of a run, which ties run.json to the ensemble."""
    records.write_record(folder / FINISHED, {"version": VERSION, **fields, "run": digest_of_file(folder / RUN)})


def read_record(folder: Path, name: str) -> dict[str, Any]:
    """run.json, finished.json or another record.

    Raises RunFolderError where there is none; FileFormatError for one that is damaged, was changed, or is of a newer
    version; for a run.json that is not the one of the finished run beside it."""
    path = folder / name
    if not path.is_file():
        if name == FINISHED:
            raise RunFolderError(f"the run in {folder} is not finished: train it to its end first")
        raise RunFolderError(f"{folder} holds no run: there is no {name} in it")
    record = records.read_object(path)
    _check_version(path, record)
    records.check_types(path, record, {"classes": list, "cost": dict} if name == FINISHED else {"experiment": dict})
    if name == FINISHED:
        records.check_types(path, record["cost"], _COST)
        if not record["classes"] or not all(isinstance(label, str) for label in record["classes"]):
            raise FileFormatError(f"{path}: classes are no list of texts")
    if name == RUN and (folder / FINISHED).is_file():
        written = read_record(folder, FINISHED).get("run")
        if written is not None and written != digest_of_file(path):
            raise FileFormatError(
                f"{path} was changed after the run was finished: what it says is not what was trained"
            )
    return record


def _check_version(path: Path, record: dict[str, Any]) -> None:
    found = record.get("version", 1)
    if type(found) is not int or found < 1:
        raise FileFormatError(f"{path}: version is {found!r}, expected a whole number up to {VERSION}")
    if found > VERSION:
        raise FileFormatError(
            f"{path} was written by a newer version of lora-ensemble (its version is {found}, this one reads up to "
            f"{VERSION}): update it"
        )
    if found > 1 and DIGEST not in record:
        raise FileFormatError(f"{path} was changed after it was written: it has lost its digest")
    check_seal(path, record)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
