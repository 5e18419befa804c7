"""MCE: maximum calibration error of the most probable class over 15 bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"mce": "lower"}
LABELS = {"mce": "MCE"}
_BINS = 15


def score(probs_BC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: the largest |accuracy - mean confidence| of a bin that is not empty (Guo et al. 2017, equation 5).

    Bins of equal width, (lower, upper]. Few samples in a bin make it large.
    """
    import torch

    confidence_B, predicted_B = probs_BC.to(counts_RB).max(-1)
    bin_B = torch.bucketize(confidence_B, torch.arange(1, _BINS, dtype=torch.float64) / _BINS)
    inside_BK = torch.nn.functional.one_hot(bin_B, _BINS).to(counts_RB)
    gap_B = (predicted_B == labels_B).to(counts_RB) - confidence_B
    gaps_RK = (counts_RB @ (inside_BK * gap_B[:, None])).abs()
    return {"mce": (gaps_RK / (counts_RB @ inside_BK).clamp(min=1)).amax(1)}
