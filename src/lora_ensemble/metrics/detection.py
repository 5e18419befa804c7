"""OOD detection: AUROC, AUPR and FPR at 95 % of four scores that should be higher out of distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_SCORES = ("msp", "entropy", "mutual_information", "expected_entropy")
_MEASURES = {"auroc": "higher", "aupr": "higher", "fpr95": "lower"}

BETTER = {f"{measure}_{name}": better for measure, better in _MEASURES.items() for name in _SCORES}


def score(
    probs_BC: Tensor,
    total_B: Tensor,
    aleatoric_B: Tensor,
    epistemic_B: Tensor,
    ood_B: Tensor,
    counts_RB: Tensor,
) -> dict[str, Tensor]:
    """All 0 .. 1; OOD is the positive class; samples of equal score are never told apart.

    Scores: msp is 1 - the largest probability (Hendrycks and Gimpel 2017); entropy, mutual_information and
    expected_entropy are total, epistemic and aleatoric uncertainty. Measures: auroc is the probability that an
    OOD sample scores higher than an in-distribution one, ties counting half; aupr is average precision; fpr95 is
    the share of in-distribution samples at or above the highest threshold that catches 95 % of the OOD samples.
    """
    import torch

    scores = dict(zip(_SCORES, (1 - probs_BC.max(-1).values, total_B, epistemic_B, aleatoric_B), strict=True))
    values = {}
    for name, score_B in scores.items():
        score_B, order_B = score_B.sort(descending=True)
        last_B = torch.cat([score_B[1:] != score_B[:-1], torch.tensor([True])])
        parts = [_measures(c[:, order_B], ood_B[order_B], last_B) for c in counts_RB.split(64)]
        values.update({f"{k}_{name}": torch.cat([part[k] for part in parts]) for k in _MEASURES})
    return values


def _measures(counts_RB: Tensor, ood_B: Tensor, last_B: Tensor) -> dict[str, Tensor]:
    """Columns in descending order of score; `last_B` marks the last one of each group of equal score G."""
    import torch.nn.functional as F

    # Numbers of OOD and of in-distribution samples at or above each threshold, from one that catches none.
    positives_RG = F.pad((counts_RB * ood_B).cumsum(1)[:, last_B], (1, 0))
    negatives_RG = F.pad((counts_RB * ~ood_B).cumsum(1)[:, last_B], (1, 0))
    tpr_RG = positives_RG / positives_RG[:, -1:]
    fpr_RG = negatives_RG / negatives_RG[:, -1:]
    precision_RG = positives_RG / (positives_RG + negatives_RG).clamp(min=1)
    caught = (tpr_RG < 0.95).sum(1, keepdim=True)
    return {
        "auroc": (fpr_RG.diff() * (tpr_RG[:, 1:] + tpr_RG[:, :-1])).sum(1) / 2,
        "aupr": (tpr_RG.diff() * precision_RG[:, 1:]).sum(1),
        "fpr95": fpr_RG.gather(1, caught).squeeze(1),
    }
