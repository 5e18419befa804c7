"""Disagreement: share of samples on which two members predict different classes, averaged over pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"disagreement": None}
COLUMNS = {"disagreement": 50}


def score(probs_MBC: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1; NaN for one member, which has no pairs."""
    members, samples, num_classes = probs_MBC.shape
    predicted_BM = probs_MBC.argmax(-1).T
    ones_BM = counts_RB.new_ones(samples, members)
    votes_BC = counts_RB.new_zeros(samples, num_classes).scatter_add_(1, predicted_BM, ones_BM)
    agreeing_pairs_B = (votes_BC * (votes_BC - 1)).sum(1)
    disagreement_B = 1 - agreeing_pairs_B / (members * (members - 1))
    return {"disagreement": counts_RB @ disagreement_B / counts_RB.sum(1)}
