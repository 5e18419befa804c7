"""What `Predictions` accepts: arrays, ids and indices, checked, with one line that names what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lora_ensemble.errors import DataError

Index = slice | Sequence[int] | Sequence[bool] | Tensor | np.ndarray
"""What selects members or rows: a slice, positions, or one boolean for each."""

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def logits_of(values: Any) -> Tensor:
    """(M, B, C) float32 on the CPU; not yet checked for NaN. Raises DataError for anything else."""
    logits = _tensor(values, "logits")
    shape = tuple(logits.shape)
    if logits.ndim == 4:
        raise DataError(f"logits have shape {shape} (M, B, T, V), expected (M, B, C): choose one position of T")
    if logits.ndim != 3:
        raise DataError(f"logits have shape {shape}, expected (M, B, C): members, samples, classes")
    if 0 in shape or shape[2] < 2:
        raise DataError(f"logits have shape {shape}, expected at least one member, one sample, two classes")
    if logits.is_complex() or logits.dtype == torch.bool:
        raise DataError(f"logits are {logits.dtype}, expected real numbers")
    return logits.to(torch.float32)


def check_finite(logits_MBC: Tensor, ids: Sequence[str] | None) -> None:
    """Raises DataError that names the first member and row with a NaN or an infinite logit."""
    if math.isfinite(logits_MBC.sum()):
        return  # one such value would show in the sum, which is much faster than to look at each
    bad = ~torch.isfinite(logits_MBC)
    if bool(bad.any()):
        m, b, c = bad.nonzero()[0].tolist()
        name = "" if ids is None else f" (id {ids[b]!r})"
        value = logits_MBC[m, b, c].item()
        raise DataError(f"a logit of member {m}, row {b}{name} is {value}, expected finite numbers")


def labels_of(values: Any, rows: int, num_classes: int) -> Tensor:
    """(B,) int64 class indices. Raises DataError that names the first one out of range."""
    labels = _tensor(values, "labels")
    if labels.dtype not in _INTEGERS:
        raise DataError(f"labels are {labels.dtype}, expected integers: class indices")
    if tuple(labels.shape) != (rows,):
        raise DataError(f"labels have shape {tuple(labels.shape)}, expected ({rows},): one for each row")
    labels = labels.to(torch.int64)
    bad = (labels < 0) | (labels >= num_classes)
    if bool(bad.any()):
        b = int(bad.nonzero()[0])
        raise DataError(f"label {labels[b]} of row {b} is out of range: expected 0 to {num_classes - 1}")
    return labels


def ids_of(values: Iterable[Any], rows: int) -> tuple[str, ...]:
    """(B,) unique strings. Raises DataError that names the first id that comes back."""
    ids = tuple(str(value) for value in values)
    if len(ids) != rows:
        raise DataError(f"there are {len(ids)} ids, expected {rows}: one for each row")
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise DataError(f"id {name!r} occurs more than once: ids must be unique")
        seen.add(name)
    return ids


def positions_of(index: Index, size: int, what: str) -> Tensor:
    """The positions that an index selects, integers in 0 .. size - 1. Raises DataError for one outside."""
    if isinstance(index, slice):
        return torch.tensor(range(size)[index], dtype=torch.int64)
    chosen = _tensor(index, f"{what}s").flatten()
    if chosen.dtype == torch.bool:
        if len(chosen) != size:
            raise DataError(f"there are {len(chosen)} booleans to choose from {size} {what}s")
        return chosen.nonzero().flatten()
    if chosen.dtype not in _INTEGERS:
        raise DataError(f"{what}s are chosen by {chosen.dtype}, expected integers or booleans")
    bad = (chosen < -size) | (chosen >= size)
    if bool(bad.any()):
        raise DataError(f"there is no {what} {chosen[bad][0]}: expected 0 to {size - 1}")
    return chosen.to(torch.int64) % size


def _tensor(values: Any, what: str) -> Tensor:
    """On the CPU, without gradient history."""
    if isinstance(values, Tensor):
        return values.detach().cpu()
    try:
        return torch.tensor(np.asarray(values))
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} are not an array of numbers: {error}") from error
