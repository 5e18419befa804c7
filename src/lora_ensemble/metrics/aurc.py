"""AURC: area under the risk-coverage curve, when the least confident predictions are withheld first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"aurc": "lower"}
LABELS = {"aurc": "AURC"}
DIGITS = {"aurc": 4}


def score(probs_BC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: mean over k = 1 .. B of the error rate of the k most confident samples.

    Geifman, Uziel and El-Yaniv 2019; confidence is the largest probability. An error at rank j (from 0) adds
    1/(j + 1) + ... + 1/B, before division by B. Equally confident samples count in every order, averaged.
    """
    import torch

    confidence_B, predicted_B = probs_BC.max(-1)
    uncertainty_B, order_B = (1 - confidence_B).sort()
    _, group_B, size_G = uncertainty_B.unique_consecutive(return_inverse=True, return_counts=True)
    wrong_E = (predicted_B != labels_B)[order_B].nonzero().squeeze(1)
    end_E = size_G.cumsum(0)[group_B[wrong_E]]
    start_E = end_E - size_G[group_B[wrong_E]]
    size = int(counts_RB[0].sum())
    ranks = torch.arange(1, size + 1, dtype=torch.float64)
    added = (1 / ranks).flip(0).cumsum(0).flip(0)
    cumulated = torch.cat([added.new_zeros(1), added.cumsum(0)])
    parts = counts_RB.float().split(256)  # whole numbers: exact, and faster than float64
    return {"aurc": torch.cat([_area(c.index_select(1, order_B), wrong_E, start_E, end_E, cumulated) for c in parts])}


def _area(counts_RB: Tensor, wrong_E: Tensor, start_E: Tensor, end_E: Tensor, cumulated: Tensor) -> Tensor:
    """Columns in order of confidence. For each error E its column, and the first and the end of its group's columns;
    `cumulated`: what errors at the first 0, 1, 2 .. ranks add."""
    import torch.nn.functional as F

    seen_RB = F.pad(counts_RB.cumsum(1), (1, 0))
    before_RE, after_RE = seen_RB.index_select(1, start_E).long(), seen_RB.index_select(1, end_E).long()
    mean_RE = (cumulated[after_RE] - cumulated[before_RE]) / (after_RE - before_RE).clamp(min=1)
    return (counts_RB.index_select(1, wrong_E) * mean_RE).sum(1) / (len(cumulated) - 1)
