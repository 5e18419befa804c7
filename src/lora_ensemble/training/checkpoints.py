"""The checkpoints of a run: folders `checkpoint-<step>`, each complete or absent."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from lora_ensemble.disk.folders import PARTIAL

CHECKPOINTS = "checkpoints"
"""Their place in a run folder."""
WEIGHTS = "model.safetensors"
"""What training changes: `Ensemble.trainable_state()`."""

_ABOUT = "about.json"
_TRAINER_STATE = "trainer_state.json"  # written by transformers' Trainer
_NAME = re.compile(r"checkpoint-(\d+)")


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

    @property
    def epochs(self) -> float:
        """Passes over the training split until then."""
        return json.loads((self.folder / _TRAINER_STATE).read_text())["epoch"]


def folder_name(step: int) -> str:
    """Of the checkpoint after `step` steps."""
    return f"checkpoint-{step}"


def describe(folder: Path, step: int, kept: bool, seconds: float) -> None:
    """Write what `checkpoints` reads; the folder may get its place afterwards."""
    about = asdict(Checkpoint(folder, step, kept, seconds)) | {"folder": None}
    (folder / _ABOUT).write_text(json.dumps(about))


def checkpoints(folder: Path) -> list[Checkpoint]:
    """The complete checkpoints in a folder, by step. One whose process died while it was written is not among them: a
    checkpoint gets its name last."""
    found = [p for p in folder.glob("checkpoint-*") if _NAME.fullmatch(p.name) and (p / _ABOUT).is_file()]
    read = [Checkpoint(**json.loads((p / _ABOUT).read_text()) | {"folder": p}) for p in found]
    return sorted(read, key=lambda c: c.step)


def rotate(folder: Path, keep: int | None, finished: bool = False) -> None:
    """Remove what is no longer needed: checkpoints that only serve to resume, except the newest (all of them when the
    run has finished), and all but the last `keep` of the others."""
    present = checkpoints(folder)
    wanted = [c for c in present if c.kept]
    wanted = wanted if keep is None else wanted[-keep:]
    if not finished:
        wanted += present[-1:]
    for checkpoint in present:
        if checkpoint not in wanted:
            # Renamed first: what is half removed must not look like a checkpoint.
            doomed = checkpoint.folder.with_name(PARTIAL + checkpoint.folder.name)
            shutil.rmtree(doomed, ignore_errors=True)
            checkpoint.folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
    if finished and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
