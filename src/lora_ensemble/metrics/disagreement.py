"""Disagreement: share of samples on which two members predict different classes, averaged over pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"disagreement": None}
COLUMNS = {"disagreement": 50}


def prepare(classes_MB: Tensor) -> Tensor:
    """(B,) share of the pairs of members that disagree on each sample."""
    import torch

    members = len(classes_MB)
    sorted_MB = classes_MB.sort(0).values
    streak_B = agreeing_pairs_B = torch.zeros_like(sorted_MB[0])  # equal classes are neighbours
    for m in range(1, members):
        streak_B = torch.where(sorted_MB[m] == sorted_MB[m - 1], streak_B + 1, 0)
        agreeing_pairs_B = agreeing_pairs_B + 2 * streak_B
    return 1 - agreeing_pairs_B.double() / (members * (members - 1))


def score(prepared: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1; NaN for one member, which has no pairs."""
    return {"disagreement": counts_RB @ prepared / counts_RB[0].sum()}
