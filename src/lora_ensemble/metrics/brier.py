"""Brier score: squared distance of the predicted distribution from the one-hot label."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"brier": "lower"}
LABELS = {"brier": "Brier score"}
COLUMNS = {"brier": 30}


def prepare(squares_B: Tensor, label_probs_B: Tensor) -> Tensor:
    """(B,) of each sample; rounding may leave -1e-16."""
    return (squares_B - 2 * label_probs_B + 1).clamp(min=0)


def score(prepared: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 2: sum over classes, mean over samples (Brier 1950, equation 2)."""
    return {"brier": counts_RB @ prepared / counts_RB[0].sum()}
