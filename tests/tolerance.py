"""How near two results of the same computation must be: a rule of dtype, depth and size, none of one processor.

A sum that is taken in another order (another vector width, another number of threads, a fused multiply-add) differs by
about one unit of rounding for each operation that follows another. So the error of a chain of `depth` operations is at
most about `depth` units of rounding of its largest intermediate value, which the largest result stands for. Not a test
file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

SLACK = 4
"""Units of rounding that one operation may cost: a matrix product of a few hundred terms costs between one and four."""

NETWORK = 32
"""Roundings in a row of a tiny network of the tests (two or three blocks), forward and backward."""


def close(
    actual: Any,
    expected: Any,
    *,
    depth: int = NETWORK,
    dtype: torch.dtype | None = None,
    scale: float = 1.0,
    msg: str | None = None,
) -> None:
    """Raises AssertionError where two tensors (arrays, numbers) differ by more than rounding.

    depth: roundings that follow one another. dtype: the coarsest that the computation went through, where the results
    are finer. scale: size of the largest intermediate value, where it is above the results and above 1.
    """
    a, b = _tensor(actual), _tensor(expected)
    unit = max(torch.finfo(kind).eps for kind in (a.dtype, b.dtype, dtype or b.dtype))
    bound = SLACK * depth * unit
    largest = max([scale, *(float(x.abs().max()) for x in (b[b.isfinite()],) if x.numel())])
    torch.testing.assert_close(
        a.double(), b.double(), rtol=bound, atol=bound * largest, equal_nan=True, check_device=False, msg=msg
    )


def _tensor(values: Any) -> Tensor:
    found = values.detach() if isinstance(values, Tensor) else torch.as_tensor(np.array(values))
    return found if found.is_floating_point() else found.double()
