"""AURC: area under the risk-coverage curve, when the least confident predictions are withheld first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"aurc": "lower"}


def score(probs_BC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: mean over k = 1 .. B of the error rate of the k most confident samples.

    Geifman et al. 2019, section 3; confidence is the largest probability. Equally confident samples count in every
    order, averaged: in a group of w samples with error rate r that follows n samples with e errors, the expected
    error rate after j of the group is (e + j r) / (n + j), and these sum to
    w r + (e - n r) (H(n + w) - H(n)), with H the harmonic numbers.
    """
    import torch

    confidence_B, predicted_B = probs_BC.max(-1)
    confidence_B, order_B = confidence_B.sort(descending=True)
    last_B = torch.cat([confidence_B[1:] != confidence_B[:-1], torch.tensor([True])])
    wrong_B = (predicted_B != labels_B)[order_B].to(counts_RB)
    size = int(counts_RB.sum(1).max())
    harmonic = torch.cat(
        [counts_RB.new_zeros(1), (1 / torch.arange(1, size + 1, dtype=torch.float64)).cumsum(0)]
    )
    return {"aurc": torch.cat([_area(c[:, order_B], wrong_B, last_B, harmonic) for c in counts_RB.split(64)])}


def _area(counts_RB: Tensor, wrong_B: Tensor, last_B: Tensor, harmonic: Tensor) -> Tensor:
    """Columns in order of confidence; `last_B` marks the last one of each group of equal confidence G."""
    import torch.nn.functional as F

    seen_RG = F.pad(counts_RB.cumsum(1)[:, last_B], (1, 0))
    errors_RG = F.pad((counts_RB * wrong_B).cumsum(1)[:, last_B], (1, 0))
    width_RG, before_RG = seen_RG.diff(), seen_RG[:, :-1]
    rate_RG = errors_RG.diff() / width_RG.clamp(min=1)
    steps_RG = harmonic[seen_RG.long()].diff()
    return (width_RG * rate_RG + (errors_RG[:, :-1] - before_RG * rate_RG) * steps_RG).sum(1) / seen_RG[:, -1]
