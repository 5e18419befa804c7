"""ECE: expected calibration error of the most probable class, with 10 and with 15 bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"ece_10": "lower", "ece_15": "lower"}
LABELS = {"ece_10": "ECE, 10 bins", "ece_15": "ECE, 15 bins"}
COLUMNS = {"ece_15": 40}


def prepare(top_BK: Tensor, right_B: Tensor) -> Tensor:
    """(B, 10 + 15): right or not less confidence, each in its bin of the ten and of the fifteen."""
    import torch

    confidence_B = top_BK[:, 0].contiguous()
    gap_B1 = (right_B - confidence_B)[:, None]
    bins = [bin_of(confidence_B, count)[:, None] for count in (10, 15)]
    parts = [gap_B1.new_zeros(len(gap_B1), count) for count in (10, 15)]
    return torch.cat([part.scatter_(1, bin_B1, gap_B1) for part, bin_B1 in zip(parts, bins, strict=True)], 1)


def score(prepared: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: |accuracy - mean confidence| of each bin, weighted by its share of the samples.

    Bins of equal width, (lower, upper] (Guo et al. 2017, equation 3).
    """
    gaps_RK = (counts_RB @ prepared).abs() / counts_RB[0].sum()
    return {"ece_10": gaps_RK[:, :10].sum(1), "ece_15": gaps_RK[:, 10:].sum(1)}


def bin_of(confidence_B: Tensor, bins: int) -> Tensor:
    """Number of the bin (k / bins, (k + 1) / bins] that a confidence falls in; 0 falls in the first."""
    import torch

    edges = torch.arange(1, bins, dtype=torch.float64) / bins
    return torch.bucketize(confidence_B.double(), edges)
