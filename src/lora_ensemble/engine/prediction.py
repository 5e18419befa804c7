"""Batches out of what a user has: a loader, a data set, or anything that yields batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lora_ensemble.engine.inputs import as_labels
from lora_ensemble.errors import DataError

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble

_LABELS = ("labels", "label", "labels_B")

Inputs = tuple[tuple[Any, ...], dict[str, Any]]
"""Inputs without a name, and inputs by name."""


def batches(data: Any, batch_size: int) -> Iterator[tuple[Inputs, Any]]:
    """Inputs and labels (None where there are none) of each batch.

    data: a loader or any iterable of batches; or a data set (with a length and rows by number), which is read in
    batches of `batch_size`. A batch is a mapping of inputs by name, where "labels" or "label" are the labels, a pair of
    inputs and labels, or the inputs alone. Raises DataError for what is none of these, and where there is no batch.
    """
    empty = True
    for batch in _loader(data, batch_size):
        empty = False
        yield _taken_apart(batch)
    if empty:
        raise DataError("there is nothing to predict: the data have no batch")


def logits_of_batches(ensemble: Ensemble, data: Any, batch_size: int) -> tuple[Tensor, Tensor | None]:
    """Logits (M, B, C) of all rows, and labels (B,) where every batch has them."""
    device = next((p.device for p in ensemble.parameters()), torch.device("cpu"))
    logits, labels = [], []
    for (given, inputs), own in batches(data, batch_size):
        moved = [v.to(device) if isinstance(v, Tensor) else v for v in (*given, *inputs.values())]
        by_name = dict(zip(inputs, moved[len(given) :], strict=True))
        logits.append(ensemble(*moved[: len(given)], **by_name).logits.float().cpu())
        labels += [] if own is None else [as_labels(own, device).cpu()]
    return torch.cat(logits, 1), torch.cat(labels) if len(labels) == len(logits) else None


def _loader(data: Any, batch_size: int) -> Iterable[Any]:
    from torch.utils.data import DataLoader

    if isinstance(data, DataLoader):
        return data
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, list | tuple | Mapping | str):
        return DataLoader(data, batch_size=batch_size)
    if isinstance(data, Iterable) and not isinstance(data, Mapping | str):
        return data
    raise DataError(f"{type(data).__name__} is neither inputs, nor a data set, nor a loader of batches")


def _taken_apart(batch: Any) -> tuple[Inputs, Any]:
    if isinstance(batch, Mapping):
        labels = [batch[name] for name in _LABELS if name in batch]
        return ((), {k: v for k, v in batch.items() if k not in _LABELS}), labels[0] if labels else None
    if isinstance(batch, tuple | list) and len(batch) in (1, 2):
        first, own = batch[0], batch[1] if len(batch) == 2 else None
        return (_taken_apart(first)[0] if isinstance(first, Mapping) else ((first,), {})), own
    if isinstance(batch, Tensor):
        return ((batch,), {}), None
    raise DataError(f"a batch is a mapping, a pair of inputs and labels, or a tensor; got {type(batch).__name__}")
