"""The checkpoints of a run: folders `checkpoint-<step>`, each complete or absent, each file with its digest."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.disk.digests import DIGEST, check_files, check_seal, digests_in, sealed
from lora_ensemble.disk.folders import PARTIAL
from lora_ensemble.errors import FileFormatError, first_line

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINTS = "checkpoints"
"""Their place in a run folder."""
WEIGHTS = "model.safetensors"
"""What training changes: `Ensemble.trainable_state()`."""

_ABOUT = "about.json"
_NAME = re.compile(r"checkpoint-(\d+)")
_DAMAGED = "damaged-"
_TO_RESUME = 2  # checkpoints that only serve to resume: where the newest is damaged, the one before is taken

_BEFORE = {"folder", "step", "kept", "seconds"}  # the fields of about.json before there were digests
_TRAINER_STATE = "trainer_state.json"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training run."""

    folder: Path
    step: int
    """Steps that were done."""
    kept: bool
    """Whether the user asked for it (`training.save`), or it only serves to resume."""
    seconds: float
    """Training time until then."""
    epochs: float
    """Passes over the training split until then."""
    updates: int
    """Steps in which the optimiser moved."""
    processes: int
    """How many trained together."""
    best: tuple[int, float] | None = None
    """Step and validation loss of the best weights so far, where training may stop early."""
    files: Mapping[str, str | None] = field(default_factory=dict)
    """Its files, each with its digest; None in those of versions before digests."""

    def check(self) -> None:
        """Raises FileFormatError for a file that is missing or not as it was written."""
        for name in self.files:
            if not (self.folder / name).is_file():
                raise FileFormatError(f"{self.folder} has no {name}")
        check_files(self.folder, {name: digest for name, digest in self.files.items() if digest is not None})

    def weights(self) -> dict[str, Tensor]:
        """What training changes. Raises FileFormatError for a file that is damaged."""
        from lora_ensemble.engine.saving import read_tensors

        check_files(self.folder, {n: d for n, d in self.files.items() if n == WEIGHTS and d is not None})
        return read_tensors(self.folder / WEIGHTS)


def folder_name(step: int) -> str:
    """Of the checkpoint after `step` steps."""
    return f"checkpoint-{step}"


def describe(folder: Path, about: Checkpoint) -> None:
    """Write what `checkpoints` reads, when all other files are there; the folder may get its place afterwards."""
    values = asdict(about) | {"files": digests_in(folder, without=[_ABOUT])}
    del values["folder"]
    (folder / _ABOUT).write_text(json.dumps(sealed(values)), encoding="utf-8")


def checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints in a folder, by step. One whose process died while it was written is not among them: a checkpoint
    gets its name last. Raises FileFormatError for one that is damaged."""
    return [read_checkpoint(path) for path in numbered(folder)]


def numbered(folder: Path) -> list[Path]:
    """The folders of checkpoints, by step."""
    found = [(int(match[1]), p) for p in folder.glob("checkpoint-*") if (match := _NAME.fullmatch(p.name))]
    return [path for _, path in sorted(found)]


def read_checkpoint(folder: Path) -> Checkpoint:
    """What is in a folder, not yet checked. Raises FileFormatError where its description is missing or damaged."""
    about = _json(folder / _ABOUT)
    if about.keys() == _BEFORE:
        return _of_before(folder, about)
    names = {f.name for f in fields(Checkpoint)} - {"folder"}
    if about.keys() != names | {DIGEST}:
        raise FileFormatError(f"{folder / _ABOUT} is damaged: its fields are not those of a checkpoint")
    check_seal(folder / _ABOUT, about)
    about["best"] = None if about["best"] is None else tuple(about["best"])
    found = Checkpoint(folder=folder, **{name: about[name] for name in names})
    if folder.name != folder_name(found.step):
        raise FileFormatError(f"{folder} is the checkpoint of step {found.step} under another name")
    return found


def _of_before(folder: Path, about: Mapping[str, Any]) -> Checkpoint:
    """Written by transformers' Trainer, as versions before did: it holds the same, without digests."""
    epochs = _json(folder / _TRAINER_STATE).get("epoch")
    states = [p.name for p in folder.glob("rng_state*.pth")]
    files = [WEIGHTS, "optimizer.pt", "scheduler.pt", *states, *(p.name for p in folder.glob("scaler.pt"))]
    well_formed = isinstance(about["step"], int) and isinstance(about["seconds"], int | float)
    if not well_formed or not isinstance(epochs, int | float) or folder.name != folder_name(about["step"]):
        raise FileFormatError(f"{folder / _ABOUT} is damaged")
    return Checkpoint(
        folder=folder,
        step=about["step"],
        kept=bool(about["kept"]),
        seconds=about["seconds"],
        epochs=epochs,
        updates=about["step"],
        processes=max(1, len(states)),
        files=dict.fromkeys(files if states else [*files, "rng_state.pth"]),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileFormatError(f"{path.parent} has no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is damaged: {first_line(error)}") from None
    if not isinstance(value, dict):
        raise FileFormatError(f"{path} is damaged: it is not a JSON object")
    return value


def rotate(folder: Path, keep: int | None, finished: bool = False) -> None:
    """Remove what is no longer needed: checkpoints that only serve to resume, except the newest two (all of them when
    the run has finished), and all but the last `keep` of the others. One that cannot be read stays where it is."""
    present = [found for path in numbered(folder) if (found := _readable(path)) is not None]
    wanted = [c for c in present if c.kept]
    wanted = wanted if keep is None else wanted[-keep:]
    if not finished:
        wanted += present[-_TO_RESUME:]
    for checkpoint in present:
        if checkpoint not in wanted:
            _remove(checkpoint.folder)
    if finished and folder.is_dir():
        for damaged in folder.glob(f"{_DAMAGED}*"):
            _remove(damaged)
        if not any(folder.iterdir()):
            folder.rmdir()


def set_aside(folder: Path) -> None:
    """Give a damaged checkpoint a name under which it is no longer one."""
    aside = folder.with_name(_DAMAGED + folder.name)
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)


def _readable(folder: Path) -> Checkpoint | None:
    try:
        return read_checkpoint(folder)
    except FileFormatError:
        return None


def _remove(folder: Path) -> None:
    # Renamed first: what is half removed must not look like a checkpoint.
    doomed = folder.with_name(PARTIAL + folder.name)
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
