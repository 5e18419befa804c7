"""reliability: confidence against accuracy, bin by bin."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.metrics.ece import bin_of
from lora_ensemble.predictions import Pooling, Predictions


@dataclass(frozen=True, eq=False)
class Reliability:
    """K bins of equal width, (k / K, (k + 1) / K], over the probability of the predicted class."""

    confidence_K: Tensor
    """(K,) mean confidence of the samples in each bin; NaN for an empty bin."""
    accuracy_K: Tensor
    """(K,) accuracy of the samples in each bin; NaN for an empty bin."""
    count_K: Tensor
    """(K,) number of samples in each bin."""

    @property
    def ece(self) -> float:
        """Expected calibration error: |accuracy - confidence|, weighted by each bin's share of the samples."""
        gap_K = (self.accuracy_K - self.confidence_K).abs().nan_to_num(0.0)
        return float((gap_K * self.count_K).sum() / self.count_K.sum())


def reliability(p: Predictions, bins: int = 15, pooling: Pooling = "mean-of-probabilities") -> Reliability:
    """The reliability diagram's numbers, for the ensemble; a member's by `p.members([m])`.

    Raises DataError for predictions without labels, ConfigurationError for `bins` below 1.
    """
    if bins < 1:
        raise ConfigurationError([f"bins = {bins}: must be at least 1"])
    if p.labels_B is None:
        raise DataError("a reliability diagram needs labels, and these predictions have none")
    confidence_B, predicted_B = p.pooled_probs(pooling).max(-1)
    bin_B = bin_of(confidence_B, bins)
    count_K = torch.bincount(bin_B, minlength=bins)
    hits_K = torch.bincount(bin_B, (predicted_B == p.labels_B).double(), minlength=bins)
    return Reliability(torch.bincount(bin_B, confidence_B, minlength=bins) / count_K, hits_K / count_K, count_K)
