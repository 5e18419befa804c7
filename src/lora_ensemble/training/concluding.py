"""After the last step: what a method fits to the trained weights, on rows that are neither shuffled nor augmented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler

from lora_ensemble.batches import batches, prepared
from lora_ensemble.contracts import LoadedBackbone, Split
from lora_ensemble.engine.ensemble import Ensemble, evaluating
from lora_ensemble.errors import DataError
from lora_ensemble.training.options import Training

if TYPE_CHECKING:
    from accelerate import Accelerator


def conclude(
    ensemble: Ensemble,
    train: Split,
    validation: Split | None,
    backbone: LoadedBackbone,
    training: Training,
    accelerator: Accelerator,
) -> None:
    """`Ensemble.conclude`; all processes do the same. Raises DataError for a split that is not there, or has no
    labels."""

    def rows(name: str) -> Iterator[tuple[dict[str, Any], Tensor]]:
        split = {"train": train, "validation": validation}[name]
        if split is None or split.labels is None or len(split) == 0:
            raise DataError(f"the method needs a {name} split with labels")
        order = BatchSampler(range(len(split)), training.batch_size, drop_last=False)
        for batch in batches(split, backbone.collate, order, training.workers, backbone.collate_labelled):
            inputs, labels = prepared(batch, backbone, accelerator.device)
            assert labels is not None
            yield inputs, labels

    with torch.no_grad(), evaluating(ensemble):
        ensemble.conclude(rows)
