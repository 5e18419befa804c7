"""ROC curves: how well an uncertainty tells samples of an OOD set from those of the split."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lora_ensemble.analysis.uncertainty import uncertainty
from lora_ensemble.predictions import Pooling, Predictions


@dataclass(frozen=True, eq=False)
class Roc:
    """K points, from (0, 0) to (1, 1), one for each value of the uncertainty as a threshold. OOD is the positive
    class; between the points the curve is a straight line (samples of equal uncertainty are never told apart)."""

    false_positive_K: Tensor
    """(K,) share of the split's samples at or above the threshold, rising."""
    true_positive_K: Tensor
    """(K,) share of the OOD samples at or above it."""

    @property
    def auroc(self) -> float:
        """Area under the curve: the probability that an OOD sample is the more uncertain one, ties counting half."""
        return float(torch.trapezoid(self.true_positive_K, self.false_positive_K))

    def true_positive_at(self, false_positive_N: Tensor) -> Tensor:
        """(N,) share of the OOD samples that are found at these shares of false alarms, 0 .. 1; the highest one where
        the curve rises straight up."""
        right = torch.searchsorted(self.false_positive_K, false_positive_N, right=True)
        low, high = right - 1, right.clamp(max=len(self.false_positive_K) - 1)
        x0, x1 = self.false_positive_K[low], self.false_positive_K[high]
        y0, y1 = self.true_positive_K[low], self.true_positive_K[high]
        along = torch.where(x1 > x0, (false_positive_N - x0) / (x1 - x0).clamp(min=1e-300), 0.0)
        return y0 + along * (y1 - y0)


def roc(
    p: Predictions,
    ood: Predictions,
    by: str = "entropy",
    pooling: Pooling = "mean-of-probabilities",
    reference: Predictions | None = None,
) -> Roc:
    """by: an uncertainty (see `uncertainty`). Raises UnknownNameError for another, DataError for one that these
    predictions do not have."""
    inside, outside = (uncertainty(part, by, reference=reference, pooling=pooling) for part in (p, ood))
    both, order = torch.cat([inside, outside]).sort(descending=True)
    is_outside = torch.cat([torch.zeros(len(inside)), torch.ones(len(outside))]).double()[order]
    last = torch.cat([both[1:] != both[:-1], torch.tensor([True])])  # of each group of ties
    true, false = (flags.cumsum(0)[last] / flags.sum() for flags in (is_outside, 1 - is_outside))
    zero = torch.zeros(1, dtype=torch.float64)
    return Roc(torch.cat([zero, false]), torch.cat([zero, true]))
