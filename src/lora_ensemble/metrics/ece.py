"""ECE: expected calibration error of the most probable class, with 10 and with 15 bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"ece_10": "lower", "ece_15": "lower"}


def score(probs_BC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: |accuracy - mean confidence| of each bin, weighted by its share of the samples.

    Bins of equal width, (lower, upper] (Guo et al. 2017, equation 3).
    """
    confidence_B, predicted_B = probs_BC.to(counts_RB).max(-1)
    gap_B = (predicted_B == labels_B).to(counts_RB) - confidence_B
    values = {}
    for bins in (10, 15):
        gap_BK = gap_B.new_zeros(len(gap_B), bins)
        gap_BK[range(len(gap_B)), bin_of(confidence_B, bins)] = gap_B
        values[f"ece_{bins}"] = (counts_RB @ gap_BK).abs().sum(1) / counts_RB.sum(1)
    return values


def bin_of(confidence_B: Tensor, bins: int) -> Tensor:
    """Number of the bin (k / bins, (k + 1) / bins] that a confidence falls in; 0 falls in the first."""
    import torch

    edges = torch.arange(1, bins, dtype=torch.float64) / bins
    return torch.bucketize(confidence_B.double(), edges)
