"""The checkpoints of a run: folders `checkpoint-<step>`, each complete or absent."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from lora_ensemble.training_options import Training

WEIGHTS = "model.safetensors"
"""What training changes, `Ensemble.trainable_state()`."""

_NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training run after `step` steps."""

    step: int
    folder: Path


def checkpoints(folder: Path) -> list[Checkpoint]:
    """The complete checkpoints in a folder, by step. One that was being written when its process died is not among them:
    it gets its name last."""
    found = [(_NAME.fullmatch(p.name), p) for p in folder.iterdir() if p.is_dir()] if folder.is_dir() else []
    return sorted((Checkpoint(int(m[1]), p) for m, p in found if m), key=lambda c: c.step)


def is_kept(step: int, training: Training, steps_per_epoch: int) -> bool:
    """Whether the user asked for a checkpoint after this step."""
    if training.save == "epoch":
        return step % steps_per_epoch == 0
    return training.save == "steps" and step % training.save_steps == 0


def rotate(folder: Path, training: Training, steps_per_epoch: int, finished: bool = False) -> None:
    """Remove the checkpoints that are no longer needed: those that only served to resume, except the newest (all of them
    when the run has finished), and those beyond `keep_checkpoints`."""
    present = checkpoints(folder)
    kept = [c for c in present if is_kept(c.step, training, steps_per_epoch)]
    if training.keep_checkpoints is not None:
        kept = kept[-training.keep_checkpoints :]
    if not finished:
        kept += present[-1:]
    for checkpoint in present:
        if checkpoint not in kept:
            # Renamed first: a half-removed folder must not look like a checkpoint.
            doomed = checkpoint.folder.with_name(f".partial-{checkpoint.folder.name}")
            shutil.rmtree(doomed, ignore_errors=True)
            checkpoint.folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
