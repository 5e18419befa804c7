"""Which members, which rows: positions that an index selects, and what stands there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import torch
from torch import Tensor

from lora_ensemble.errors import DataError
from lora_ensemble.predictions.accept import INTEGERS, tensor_of

Index = slice | Sequence[int] | Sequence[bool] | Tensor | np.ndarray
"""What selects members or rows: a slice, positions, or one boolean for each."""


def positions_of(index: Index, size: int, what: str) -> Tensor:
    """The positions that an index selects, integers in 0 .. size - 1. Raises DataError for one outside."""
    if isinstance(index, slice):
        return torch.tensor(range(size)[index], dtype=torch.int64)
    chosen = tensor_of(index, f"{what}s").flatten()
    if chosen.dtype == torch.bool:
        if len(chosen) != size:
            raise DataError(f"there are {len(chosen)} booleans to choose from {size} {what}s")
        return chosen.nonzero().flatten()
    if chosen.dtype not in INTEGERS:
        raise DataError(f"{what}s are chosen by {chosen.dtype}, expected integers or booleans")
    bad = (chosen < -size) | (chosen >= size)
    if bool(bad.any()):
        raise DataError(f"there is no {what} {chosen[bad][0]}: expected 0 to {size - 1}")
    return chosen.to(torch.int64) % size


@overload
def selected(values: Tensor, chosen: Tensor, axis: int) -> Tensor: ...
@overload
def selected(values: None, chosen: Tensor, axis: int) -> None: ...
def selected(values: Tensor | None, chosen: Tensor, axis: int) -> Tensor | None:
    """Positions of an axis: neighbours in order as a view, others as a copy. Raises DataError for none."""
    if values is None:
        return None
    if not len(chosen):
        raise DataError("nothing is chosen: expected at least one")
    first = int(chosen[0])
    if len(chosen) == int(chosen[-1]) - first + 1 and bool((chosen.diff() == 1).all()):
        return values.narrow(axis, first, len(chosen))
    return values.index_select(axis, chosen)
