"""ECE: expected calibration error of the most probable class, with 10 and with 15 bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"ece_10": "lower", "ece_15": "lower"}
LABELS = {"ece_10": "ECE, 10 bins", "ece_15": "ECE, 15 bins"}
COLUMNS = {"ece_15": 40}


def score(probs_BC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: |accuracy - mean confidence| of each bin, weighted by its share of the samples.

    Bins of equal width, (lower, upper] (Guo et al. 2017, equation 3).
    """
    confidence_B, predicted_B = probs_BC.to(counts_RB).max(-1)
    gap_B = (predicted_B == labels_B).to(counts_RB) - confidence_B
    gaps_RB = counts_RB * gap_B
    values = {}
    for bins in (10, 15):
        gaps_RK = counts_RB.new_zeros(len(counts_RB), bins).index_add(1, bin_of(confidence_B, bins), gaps_RB)
        values[f"ece_{bins}"] = gaps_RK.abs().sum(1) / counts_RB.sum(1)
    return values


def bin_of(confidence_B: Tensor, bins: int) -> Tensor:
    """Number of the bin (k / bins, (k + 1) / bins] that a confidence falls in; 0 falls in the first."""
    import torch

    edges = torch.arange(1, bins, dtype=torch.float64) / bins
    return torch.bucketize(confidence_B.double(), edges)
