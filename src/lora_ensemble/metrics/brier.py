"""Brier score: squared distance of the predicted distribution from the one-hot label."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"brier": "lower"}
LABELS = {"brier": "Brier score"}
COLUMNS = {"brier": 30}


def score(probs_BC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 2: sum over classes, mean over samples (Brier 1950, equation 2)."""
    target_BC = probs_BC.new_zeros(probs_BC.shape).scatter_(1, labels_B[:, None], 1.0)
    brier_B = (probs_BC - target_BC).square().sum(1).to(counts_RB)
    return {"brier": counts_RB @ brier_B / counts_RB.sum(1)}
