"""What `Predictions` accepts: arrays, labels and ids, checked, with one line that names what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lora_ensemble.errors import DataError

INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
"""Number types of positions and class indices."""


def logits_of(values: Any) -> Tensor:
    """(M, B, C) float32 on the CPU, of (B, C) one member; NaN is not looked for. Raises DataError for anything else."""
    return members_of(values, "logits").to(torch.float32)


def members_of(values: Any, what: str) -> Tensor:
    """(M, B, C) real numbers of any type."""
    logits = tensor_of(values, what)
    logits = logits[None] if logits.ndim == 2 else logits
    shape = tuple(logits.shape)
    if logits.ndim == 4:
        raise DataError(f"{what} have shape {shape} (M, B, T, V), expected (M, B, C): choose one position of T")
    if logits.ndim != 3:
        raise DataError(f"{what} have shape {shape}, expected (M, B, C): members, samples, classes")
    if 0 in shape or shape[2] < 2:
        raise DataError(f"{what} have shape {shape}, expected at least one member, one sample, two classes")
    if logits.is_complex() or logits.dtype == torch.bool:
        raise DataError(f"{what} are {logits.dtype}, expected real numbers")
    return logits


def checked(logits: Any, labels: Any, ids: Any, meta: Any, features: Any) -> tuple[Any, ...]:
    """The same, as `Predictions` keeps them. Raises DataError for what does not fit."""
    logits_MBC = logits_of(logits)
    members, rows, num_classes = logits_MBC.shape
    ids = None if ids is None else ids_of(ids, rows)
    check_finite(logits_MBC, ids)
    labels_B = None if labels is None else labels_of(labels, rows, num_classes)
    features_MBD = None if features is None else _features_of(features, members, rows)
    if not isinstance(meta, Mapping):
        raise DataError(f"meta is a {type(meta).__name__}, expected a mapping")
    classes = meta.get("classes")
    if classes is not None and len(classes) != num_classes:
        raise DataError(f"meta names {len(classes)} classes, but the logits have {num_classes}")
    return logits_MBC, labels_B, ids, dict(meta), features_MBD


def _features_of(values: Any, members: int, rows: int) -> Tensor:
    features = tensor_of(values, "features")
    features = features[None] if features.ndim == 2 else features
    if features.ndim != 3 or features.shape[:2] != (members, rows) or not features.shape[2]:
        raise DataError(f"features have shape {tuple(features.shape)}, expected ({members}, {rows}, D)")
    if features.is_complex() or not bool(torch.isfinite(features).all()):
        raise DataError("features are not all finite real numbers")
    return features.to(torch.float32)


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
    labels = tensor_of(values, "labels")
    if labels.dtype not in INTEGERS:
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


def tensor_of(values: Any, what: str) -> Tensor:
    """On the CPU, without gradient history."""
    if isinstance(values, Tensor):
        return values.detach().cpu()
    try:
        return torch.tensor(np.asarray(values))
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} are not an array of numbers: {error}") from error
