"""Batches of a split as a model takes them, for training and for prediction: read, checked, moved, prepared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from lora_ensemble.contracts import Batch, Example, LoadedBackbone, Split
from lora_ensemble.engine.losses import finite
from lora_ensemble.errors import DataError

LABELS = "labels"

# An exception from a worker would arrive wrapped in a page of traceback; it travels as a value instead.
_ERROR = "error"

CollateExamples = Callable[[Sequence[Example]], Batch]
CollateLabelled = Callable[[Sequence[Example], np.ndarray], Batch]


class Collate:
    """Rows of a split to CPU tensors, with "labels" where the split has them. Runs in the loader's workers.

    labelled: makes inputs and labels together, in place of `collate`. A DataError (an example that cannot be read, an
    input that is NaN or infinite) is raised by `opened`.
    """

    def __init__(self, split: Split, collate: CollateExamples, labelled: CollateLabelled | None = None):
        self.split, self.collate, self.labelled = split, collate, labelled

    def __call__(self, rows: list[int]) -> dict[str, Any]:
        examples = [self.split.examples[i] for i in rows]
        labels = None if self.split.labels is None else self.split.labels[rows]
        try:
            if self.labelled is None or labels is None:
                batch = self.collate(examples)
            else:
                batch = self.labelled(examples, labels)
            self._check(batch, rows)
        except DataError as error:
            return {_ERROR: str(error)}
        if labels is None or LABELS in batch:
            return batch
        return {**batch, LABELS: torch.as_tensor(labels)}

    def _check(self, batch: Batch, rows: list[int]) -> None:
        for name, values in batch.items():
            if values.is_floating_point() and not finite(values):
                bad = int((~torch.isfinite(values).flatten(1).all(1)).nonzero()[0])
                raise DataError(f"example {self.split.ids[rows[bad]]!r}: {name} has a value that is NaN or infinite")


def opened(batch: dict[str, Any]) -> Batch:
    """A batch as the loader gave it. Raises the DataError that its making met."""
    if _ERROR in batch:
        raise DataError(batch[_ERROR])
    return batch


def batches(
    split: Split,
    collate: CollateExamples,
    rows: Sampler[list[int]],
    workers: int,
    labelled: CollateLabelled | None = None,
) -> DataLoader[Any]:
    """A loader of checked batches on the CPU, in pinned memory where there is a GPU. Draws no global random numbers."""
    return DataLoader(
        range(len(split)),  # type: ignore[arg-type]
        batch_sampler=rows,
        collate_fn=Collate(split, collate, labelled),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )


def prepared(batch: dict[str, Any], backbone: LoadedBackbone, device: torch.device) -> tuple[Batch, Tensor | None]:
    """A batch of the loader as inputs of the model, and its labels. Raises the DataError that its making met."""
    moved = {name: values.to(device, non_blocking=True) for name, values in opened(batch).items()}
    labels = moved.pop(LABELS, None)
    return backbone.prepare(moved), labels
