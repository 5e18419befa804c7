"""Accuracy: share of samples whose most probable class is their label."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"accuracy": "higher"}
COLUMNS = {"accuracy": 10}


def score(right_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1. Of equally probable classes the first one counts as the prediction."""
    return {"accuracy": counts_RB @ right_B / counts_RB[0].sum()}
