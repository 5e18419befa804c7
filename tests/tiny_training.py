"""A tiny ensemble, data for it, and a training that stops: what tests of training share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lora_ensemble.contracts import Batch, Example, LoadedBackbone, Split
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.training.fitting import fit
from lora_ensemble.training.options import Training
from lora_ensemble.training.progress import Progress

ROWS, WIDTH, CLASSES = 48, 6, 3


class Linears(Ensemble):
    """M linear classifiers, stacked; member m starts from (first_member + m)."""

    method = "linears"

    def __init__(self, members: int, first_member: int = 0, dropout: float = 0.0, width: int = WIDTH):
        super().__init__(members, first_member)
        draws = [torch.Generator().manual_seed(first_member + m) for m in range(members)]
        self.weight = nn.Parameter(torch.stack([torch.randn(CLASSES, width, generator=g) for g in draws]))
        self.bias = nn.Parameter(torch.zeros(members, CLASSES))
        self.dropout = nn.Dropout(dropout)
        self.cycles: list[int] = []

    def member_logits(self, members: range, inputs: dict[str, Any], shared: bool) -> Tensor:
        x = inputs["x"]
        x_MBD = x.expand(len(members), *x.shape) if shared else x.view(len(members), -1, x.shape[-1])
        part = slice(members.start, members.stop)
        return torch.baddbmm(self.bias[part][:, None], self.dropout(x_MBD), self.weight[part].mT)

    def member_gradients(self):
        yield range(self.members), [p.grad for p in (self.weight, self.bias) if p.grad is not None]

    def on_cycle_end(self, cycle: int) -> None:
        self.cycles.append(cycle)

    def save_pretrained(self, folder: str | Path) -> None:
        raise NotImplementedError


def vectors(width: int = WIDTH, **changes: Any) -> Split:
    """Learnable data: the class is the largest of the first coordinates."""
    x = np.random.default_rng(0).normal(size=(ROWS, width)).astype(np.float32)
    labels = x[:, :CLASSES].argmax(1).astype(np.int64)
    split = Split([{"x": row} for row in x], labels, [f"row-{i}" for i in range(ROWS)], "abc", "vector")
    return replace(split, **changes)


def stacked(examples: list[Example]) -> Batch:
    return {"x": torch.from_numpy(np.stack([e["x"] for e in examples]))}


def unchanged(batch: Batch) -> Batch:
    return batch


BACKBONE = LoadedBackbone(nn.Identity(), stacked, unchanged, None)  # type: ignore[arg-type]
BASE = Training(epochs=2, batch_size=8, learning_rate=0.05, gradient_clip=0.1, device="cpu")


def trained(ensemble: Ensemble, training: Training, folder: Path, split: Split | None = None, **options: Any) -> dict:
    """The trained parameters, copied."""
    fit(ensemble, split or vectors(), BACKBONE, training, seed=7, folder=folder, **options)
    return {name: value.clone() for name, value in ensemble.trainable_state().items()}


def noisy(batch: Batch, generator: torch.Generator) -> Batch:
    """Augmentation."""
    return {"x": batch["x"] + 0.1 * torch.randn(batch["x"].shape, generator=generator)}


EVENTFUL = replace(
    BASE, optimizer="sgd", momentum=0.9, data_order="independent", gradient_accumulation=2, batch_size=5, save="steps",
    save_steps=1,
)  # fmt: skip


class InterruptedByTestError(Exception):
    """Something outside stops the training."""


def stop_at(step: int) -> Callable[[Progress], None]:
    """Stops a training before it is done with a step."""

    def on_progress(progress: Progress) -> None:
        if progress.step >= step:
            raise InterruptedByTestError

    return on_progress
