"""Batches of a split: which rows, in which order, checked on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from lora_ensemble.contracts import Batch, Example, Split
from lora_ensemble.engine.losses import IGNORE, finite
from lora_ensemble.errors import DataError
from lora_ensemble.randomness import generator

LABELS = "labels"

_POOL = 50  # batches whose rows are sorted by length together

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


class MemberBatches(Sampler[list[int]]):
    """Row numbers of the batches of an epoch; the same for the same seed and `epoch`, which the trainer sets. Rising
    where they are not shuffled. lengths: of the rows, of which batches then get like ones (see `_grouped`).

    members: None, one order for all; otherwise member m shuffles by (seed, m, epoch), and a batch holds the rows of
    each member, one member after another. Of `world` processes, process `rank` gets its share of every batch; where a
    batch does not divide, its first rows are taken twice, so that all shares are equal.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        members: range | None = None,
        rank: int = 0,
        world: int = 1,
        shuffled: bool = True,
        lengths: Sequence[int] | None = None,
    ):
        self.size, self.batch_size, self.seed, self.members = size, batch_size, seed, members
        self.rank, self.world, self.shuffled, self.lengths = rank, world, shuffled, lengths
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        who: list[int | str] = ["all"] if self.members is None else list(self.members)
        orders = [self._order(m) for m in who]
        for start in range(0, self.size, self.batch_size):
            yield [row for order in orders for row in self._share(order[start : start + self.batch_size])]

    def _order(self, member: int | str) -> list[int]:
        if not self.shuffled:
            return list(range(self.size))
        order = torch.randperm(self.size, generator=generator(self.seed, "order", member, self.epoch)).tolist()
        return order if self.lengths is None else self._grouped(order, self.lengths)

    def _grouped(self, order: list[int], lengths: Sequence[int]) -> list[int]:
        """The same rows, sorted by length within pools of `_POOL` batches; then the batches of a pool are shuffled, by
        (seed, epoch) alone, so that members with orders of their own have batches of like lengths at the same time. A
        last, smaller batch stays the last, of rows of any length."""
        size = self.batch_size
        whole = len(order) // size * size
        grouped: list[int] = []
        for start in range(0, whole, _POOL * size):
            pool = sorted(order[start : min(start + _POOL * size, whole)], key=lambda row: lengths[row])
            which = torch.randperm(len(pool) // size, generator=generator(self.seed, "pool", self.epoch, start))
            grouped += [row for i in which.tolist() for row in pool[i * size : (i + 1) * size]]
        return grouped + order[whole:]

    def _share(self, rows: list[int]) -> list[int]:
        each = -(-len(rows) // self.world)
        return [rows[i % len(rows)] for i in range(self.rank * each, (self.rank + 1) * each)]


def batches(
    split: Split, collate: CollateExamples, rows: Sampler, workers: int, labelled: CollateLabelled | None = None
) -> DataLoader:
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


def check_split(split: Split) -> None:
    """Raises DataError for a split that cannot be trained on: empty, without labels, labels out of range, ids that do
    not match."""
    classes = len(split.classes)
    if len(split) == 0:
        raise DataError("the training split is empty")
    if split.labels is None:
        raise DataError("the training split has no labels")
    labels = np.asarray(split.labels)
    if not len(split) == len(labels) == len(split.ids):
        raise DataError(f"{len(split)} examples, {len(labels)} labels and {len(split.ids)} ids do not match")
    bad = ((labels < 0) | (labels >= classes)) & (labels != IGNORE)
    if bad.any():
        first = int(np.argmax(bad.reshape(len(labels), -1).any(1)))
        raise DataError(
            f"example {split.ids[first]!r}: label {labels[first]} is out of range, there are {classes} classes "
            f"(0 to {classes - 1})"
        )
