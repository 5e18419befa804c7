"""Selective prediction: the error rate of those predictions that are kept, as uncertain ones are withheld."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lora_ensemble.analysis.uncertainty import named, uncertainty
from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Pooling, Predictions


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """The curve, from the most certain sample to all B of them."""

    coverage_B: Tensor
    """(B,) share of the samples that are kept: 1 / B .. 1."""
    risk_B: Tensor
    """(B,) error rate of the kept ones."""

    @property
    def aurc(self) -> float:
        """Area under the curve: the mean of the risks (Geifman, Uziel and El-Yaniv 2019)."""
        return float(self.risk_B.mean())

    def risk_at(self, coverage: float) -> float:
        """Risk of the smallest number of kept samples that is at least this share, 0 < coverage <= 1."""
        if not 0 < coverage <= 1:
            raise DataError(f"coverage {coverage} is out of range: expected more than 0, at most 1")
        return float(self.risk_B[torch.searchsorted(self.coverage_B, coverage - 1e-12)])

    def coverage_at(self, risk: float) -> float:
        """Largest share of the samples that can be kept with at most this risk; 0 where there is none."""
        allowed_B = self.coverage_B[self.risk_B <= risk]
        return float(allowed_B[-1]) if len(allowed_B) else 0.0


def risk_coverage(
    p: Predictions,
    by: str = "msp",
    pooling: Pooling = "mean-of-probabilities",
    reference: Predictions | None = None,
) -> RiskCoverage:
    """Rank the samples by an uncertainty (see `uncertainty`) and withhold the most uncertain first.

    Equally uncertain samples count in every order, averaged. Raises DataError for predictions without labels or without
    what the uncertainty needs, UnknownNameError for another uncertainty.
    """
    named(by)
    if p.labels_B is None:
        raise DataError("a risk-coverage curve needs labels, and these predictions have none")
    wrong_B = (p.pooled_probs(pooling).argmax(-1) != p.labels_B).double()
    uncertainty_B, order_B = uncertainty(p, by, reference=reference, pooling=pooling).sort()
    _, group_B, size_G = uncertainty_B.unique_consecutive(return_inverse=True, return_counts=True)
    rate_G = torch.bincount(group_B, wrong_B[order_B]) / size_G
    kept_B = torch.arange(1, len(p) + 1, dtype=torch.float64)
    return RiskCoverage(kept_B / len(p), rate_G[group_B].cumsum(0) / kept_B)
