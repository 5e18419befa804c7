"""Members below each other, (M * B, C), become members beside each other, (M, B, C)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lora_ensemble.errors import DataError
from lora_ensemble.predictions.accept import tensor_of


def by_member(values: Any, members: int | None) -> Tensor:
    """(M, B, C) of (M * B, C), member 0 first; what has three axes stays. Raises DataError for rows that the members do
    not divide, and for another number of members than there is."""
    tensor = tensor_of(values, "logits")
    if members is None:
        return tensor
    if members < 1:
        raise DataError(f"members = {members}: expected at least 1")
    if tensor.ndim == 3 and tensor.shape[0] != members:
        raise DataError(f"logits have shape {tuple(tensor.shape)}: {tensor.shape[0]} members, not {members}")
    if tensor.ndim != 2:
        return tensor
    rows, num_classes = tensor.shape
    if rows % members:
        raise DataError(f"logits have {rows} rows, which {members} members do not divide: expected members * samples")
    return tensor.reshape(members, rows // members, num_classes)


def of_one_member(values: Any, rows: int, members: int, what: str) -> Any:
    """Labels or ids, one for each sample, also where they are repeated for each member. Raises DataError where members
    differ, which would be another layout."""
    if values is None or members == 1 or len(values) != rows * members:
        return values
    parts: list[Sequence[Any]] = [list(values[m * rows : (m + 1) * rows]) for m in range(members)]
    for m, part in enumerate(parts):
        for b, (own, first) in enumerate(zip(part, parts[0], strict=True)):
            if own != first:
                raise DataError(
                    f"{what} of row {b} is {first} for member 0 and {own} for member {m}: expected all rows of "
                    "member 0 first, then those of member 1, and so on"
                )
    return values[:rows]


def check_axes(logits: Tensor, labels: Any) -> None:
    """Raises DataError for (B, M, C), which the number of labels gives away."""
    if labels is None:
        return
    if logits.ndim == 2 and len(labels) and len(labels) < len(logits) and not len(logits) % len(labels):
        m = len(logits) // len(labels)
        raise DataError(
            f"there are {len(labels)} labels for {len(logits)} rows; if these are {m} members below each other, say so "
            f"with --members {m} (in Python members={m})"
        )
    if logits.ndim != 3:
        return
    members, rows, _ = logits.shape
    if len(labels) not in (rows, members * rows) and len(labels) == members:
        raise DataError(
            f"logits have shape {tuple(logits.shape)}, and there are {len(labels)} labels: this looks like (B, M, C), "
            "expected (M, B, C): members first"
        )
