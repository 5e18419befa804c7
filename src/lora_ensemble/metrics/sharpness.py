"""Sharpness: how far predictions are from uniform, whether they are right or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"sharpness": None}


def score(squares_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """1/C for uniform predictions, 1 for certain ones: mean of the sum of squared probabilities."""
    return {"sharpness": counts_RB @ squares_B / counts_RB[0].sum()}
