"""The batches of a training run, on their device, as each pass of an ensemble wants them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from lora_ensemble.batches import LABELS, batches, prepared
from lora_ensemble.contracts import Batch, LoadedBackbone, Split
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.losses import IGNORE
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.randomness import generator
from lora_ensemble.training.options import Training
from lora_ensemble.training.order import MemberBatches


class TrainingBatches:
    """A training split, shuffled by (seed, epoch) for all members, by (seed, member, epoch) for each, or not at all,
    and grouped by length where asked; prepared by the backbone and augmented on the device, by (seed, step). Process
    `rank` of `world` gets its share."""

    def __init__(
        self,
        split: Split,
        backbone: LoadedBackbone,
        ensemble: Ensemble,
        training: Training,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ):
        self.split, self.backbone, self.seed, self.rank = split, backbone, seed, rank
        self.shared = training.data_order != "independent"
        self.trained = ensemble.trained_members()
        self.members = range(ensemble.first_member, ensemble.first_member + len(self.trained))
        order = None if self.shared else self.members
        shuffled = training.data_order != "fixed"
        lengths = _lengths(split, backbone, training)
        self.sampler = MemberBatches(
            len(split), training.batch_size, seed, order, rank, world, shuffled, lengths, training.batches_per_epoch
        )
        self.together = training.gradient_accumulation
        self.loader = batches(split, backbone.collate, self.sampler, training.workers, backbone.collate_labelled)

    def rest_of_epoch(self, step: int) -> Iterator[list[dict[str, Any]]]:
        """The batches of each further step of the epoch in which step number `step`, from 0, lies; not yet prepared."""
        self.sampler.epoch, done = divmod(step, -(-len(self.sampler) // self.together))
        self.sampler.first = done * self.together
        left = iter(self.loader)
        while group := list(itertools.islice(left, self.together)):
            yield group

    def prepared(self, batch: dict[str, Any], device: torch.device, step: int, micro_batch: int) -> Batch:
        """A batch of the loader as inputs of the model with "labels", augmented. Raises the DataError that making the
        batch met."""
        inputs, labels = prepared(batch, self.backbone, device)
        assert labels is not None  # `check_split` saw them
        if self.split.augment is not None:
            inputs = self._augmented(inputs, device, step, micro_batch)
        return {**inputs, LABELS: labels}

    def _augmented(self, inputs: Batch, device: torch.device, step: int, micro_batch: int) -> Batch:
        assert self.split.augment is not None
        when = (step, micro_batch, self.rank)
        if self.shared:
            return self.split.augment(inputs, generator(self.seed, "augment", "all", *when, device=device))
        parts = [
            self.split.augment(
                {name: values.chunk(len(self.members))[i] for name, values in inputs.items()},
                generator(self.seed, "augment", member, *when, device=device),
            )
            for i, member in enumerate(self.members)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in inputs}

    def rows_of(self, batch: Batch, members: range) -> Batch:
        """The rows that a pass over some of the trained members sees: all of them where the members share a batch."""
        if self.shared or members == self.trained:
            return batch
        rows = len(batch[LABELS]) // len(self.trained)
        part = slice((members.start - self.trained.start) * rows, (members.stop - self.trained.start) * rows)
        return {name: values[part] for name, values in batch.items()}


def _lengths(split: Split, backbone: LoadedBackbone, training: Training) -> Sequence[int] | None:
    """Of the rows, where batches are grouped by them. Raises DataError for rows that are too long in any case,
    ConfigurationError where there is no length to group by."""
    if backbone.lengths is None:
        if training.group_by_length:
            raise ConfigurationError(["training.group_by_length: the inputs of this backbone all have one length"])
        return None
    lengths = backbone.lengths(split.examples)
    return lengths if training.group_by_length else None


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
