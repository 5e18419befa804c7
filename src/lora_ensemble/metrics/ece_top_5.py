"""Top-5 ECE: calibration error of the event that the label is among the five most probable classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"ece_top_5": "lower"}
LABELS = {"ece_top_5": "ECE, top 5"}
_BINS = 15


def score(probs_BC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: |share inside - mean probability of the five| of each of 15 bins of equal width, (lower, upper], weighted
    by its share of the samples. 0 for up to five classes."""
    import torch

    top_BK, classes_BK = probs_BC.to(counts_RB).topk(min(5, probs_BC.shape[1]), dim=1)
    confidence_B = top_BK.sum(1).clamp(max=1)
    gap_B = (classes_BK == labels_B[:, None]).any(1).to(counts_RB) - confidence_B
    bin_B = torch.bucketize(confidence_B, torch.arange(1, _BINS, dtype=torch.float64) / _BINS)
    inside_BK = torch.nn.functional.one_hot(bin_B, _BINS).to(counts_RB)
    return {"ece_top_5": (counts_RB @ (inside_BK * gap_B[:, None])).abs().sum(1) / counts_RB.sum(1)}
