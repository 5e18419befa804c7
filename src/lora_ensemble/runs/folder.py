"""The run folder: whose it is, what is in it, and who may write into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lora_ensemble.errors import BusyError, RunFolderError, UserError
from lora_ensemble.experiment import Experiment
from lora_ensemble.runs.data import check_same_data
from lora_ensemble.runs.records import ADOPTED, FINISHED, RUN, read_record, write_run

ENSEMBLE = "ensemble"

_LOCK = ".lock"


def is_main_process() -> bool:
    """Whether this process writes files: the only one, or the first that torchrun or accelerate started."""
    return int(os.environ.get("RANK", 0)) == 0


def claim(folder: Path, experiment: Experiment, anew: bool = False) -> None:
    """Make the folder this experiment's, or see that it already is, with the same data. A run that came to nothing, as
    data or weights that cannot be read make it, gives way to any other. anew: so does every run.

    Raises RunFolderError for one that holds a different run, naming the first field that differs, or whose training
    data have changed, naming what of them.
    """
    from lora_ensemble.disk.folders import remove_leftovers

    if anew:
        _empty(folder)
    remove_leftovers(folder)
    if begun(folder):
        if ADOPTED in read_record(folder, RUN):
            raise RunFolderError(f"{folder} holds an ensemble that was adopted, not trained; give another folder")
        same_experiment(folder, experiment)
        stopped_early = experiment.training.early_stopping is not None
        check_same_data(folder, experiment.dataset.fingerprint(), validation=stopped_early)
        return
    write_run(folder / RUN, experiment, experiment.dataset.fingerprint())


def _empty(folder: Path) -> None:
    """Remove a run, finished.json first, so that what is left after a kill is no finished run."""
    import shutil

    names = [path.name for path in folder.iterdir() if path.name != _LOCK]
    for name in sorted(names, key=lambda name: (name != FINISHED, name == RUN)):
        path = folder / name
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as error:
            raise UserError(f"cannot remove {path}: {error.strerror}") from error


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
            raise BusyError(f"another process is training in {folder}") from None
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
