"""Maps of one class's probability, put together again: applied class by class, then normalised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Steps = tuple[tuple[float, ...], tuple[float, ...]]
"""A piecewise linear map of a probability: rising positions, and the values there; constant beyond the ends."""


def normalised(values_BC: Tensor) -> Tensor:
    """Each row over its sum."""
    return values_BC / values_BC.sum(1, keepdim=True)


def interpolated(pool_BC: Tensor, maps: Sequence[Steps], rows: int) -> Tensor:
    """(B, C) calibrated probabilities by one map for each class, fitted on so many rows.

    A class without a map keeps its probability. As one row of `rows` + 1 the raw pool stays in the mixture: no
    probability becomes 0 because few rows were seen, and the order of what a map makes equal is kept.
    """
    values_BC = pool_BC.clone()
    for c, (positions, values) in enumerate(maps):
        if positions:
            values_BC[:, c] = torch.from_numpy(np.interp(pool_BC[:, c].numpy(), positions, values))
    mixed_BC = (rows * values_BC + pool_BC) / (rows + 1)
    return normalised(mixed_BC)
