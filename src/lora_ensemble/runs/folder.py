"""The run folder: whose it is, what is in it, and who may write into it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lora_ensemble import registry
from lora_ensemble.contracts import Dataset
from lora_ensemble.errors import FileFormatError, RunFolderError, UserError
from lora_ensemble.experiment import Experiment
from lora_ensemble.fields import to_plain

RUN = "run.json"
"""The experiment and the versions of the packages; written first."""
FINISHED = "finished.json"
"""The classes and what training took; written last."""
ENSEMBLE = "ensemble"
PREDICTIONS = "predictions"

_LOCK = ".lock"
_PACKAGES = ("lora-ensemble", "torch", "transformers", "peft", "accelerate", "numpy", "timm", "torchvision")


def is_main_process() -> bool:
    """Whether this process writes files: the only one, or the first that torchrun or accelerate started."""
    return int(os.environ.get("RANK", 0)) == 0


def claim(folder: Path, experiment: Experiment) -> None:
    """Make the folder this experiment's, or see that it already is. A run that came to nothing, as data or weights that
    cannot be read make it, gives way to any other.

    Raises RunFolderError for one that holds a different run, naming the first field that differs.
    """
    from lora_ensemble.disk.files import atomic_write_json
    from lora_ensemble.disk.folders import remove_leftovers

    remove_leftovers(folder)
    if begun(folder):
        same_experiment(folder, experiment)
        return
    record = {
        "experiment": experiment.to_dict(),
        "fingerprint": experiment.fingerprint(),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }
    atomic_write_json(folder / RUN, record)


def begun(folder: Path) -> bool:
    """Whether a folder holds a run, and more of it than its record."""
    return (folder / RUN).is_file() and any(path.name not in (RUN, _LOCK) for path in folder.iterdir())


def same_experiment(folder: Path, experiment: Experiment, record: str = RUN, what: str = "run") -> None:
    """Raises RunFolderError where the folder's record is of a different experiment, naming the first such field."""
    theirs = Experiment.from_dict(read_record(folder, record)["experiment"]).determining()
    ours = experiment.determining()
    for field in [*theirs, *(f for f in ours if f not in theirs)]:
        if theirs.get(field) != ours.get(field):
            raise RunFolderError(
                f"{folder} holds a different {what}: {field} is {theirs.get(field)!r} there and {ours.get(field)!r} "
                "here; give another folder"
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps a second process from training in it meanwhile. The lock dies with its process.

    Raises RunFolderError for a folder with other files than a run's, and while another process holds the lock;
    UserError for a folder that cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_other_files(folder)
        file = (folder / _LOCK).open("a")
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}") from error
    with file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderError(f"another process is training in {folder}") from None
        except (ImportError, OSError):
            pass  # Windows, or a file system without locks
        yield


def _refuse_other_files(folder: Path) -> None:
    """Of a run there may be only the lock and a half-written run.json, when it was killed at once."""
    if (folder / RUN).is_file():
        return
    others = [p.name for p in folder.iterdir() if p.name != _LOCK and not p.name.startswith(f".{RUN}.")]
    if others:
        raise RunFolderError(f"{folder} is not empty and holds no run (there is {min(others)!r}); give another folder")


def read_record(folder: Path, name: str) -> dict[str, Any]:
    """run.json, finished.json or another record. Raises RunFolderError where there is none, FileFormatError for one
    that is damaged."""
    path = folder / name
    if not path.is_file():
        if name == FINISHED:
            raise RunFolderError(f"the run in {folder} is not finished: train it to its end first")
        raise RunFolderError(f"{folder} holds no run: there is no {name} in it")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} is damaged: {error}") from None
    needed = {"classes", "cost"} if name == FINISHED else {"experiment"}
    if not isinstance(record, dict) or not record.keys() >= needed:
        raise FileFormatError(f"{path} is not a file of lora-ensemble")
    return record


def dataset_label(dataset: Dataset, experiment: Experiment) -> str:
    """A data set in the name of a predictions file: its name; with a digest of its fields where two would collide."""
    name = registry.name_of(dataset)
    other_kind = name != registry.name_of(experiment.dataset)
    as_always = all(getattr(dataset, f.name) == f.default for f in fields(dataset))
    if dataset == experiment.dataset or (other_kind and as_always):
        return name
    return f"{name}-{_digest(to_plain(dataset))[:8]}"


def prediction_key(experiment: Experiment, dataset: Dataset, split: str, weights: Path | None) -> str:
    """Changes when predictions have to be computed anew: with the configuration, the data or the files of weights
    (None: nothing was trained yet)."""
    paths = [] if weights is None else [p for p in sorted(weights.rglob("*")) if p.is_file()]
    files = [(str(p.relative_to(weights)), p.stat().st_size, p.stat().st_mtime_ns) for p in paths if weights]
    about = {"kind": registry.name_of(dataset), **to_plain(dataset)}
    return _digest([experiment.determining(), about, split, files])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
