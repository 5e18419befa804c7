"""MCE: maximum calibration error of the most probable class over 15 bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"mce": "lower"}
LABELS = {"mce": "MCE"}
_BINS = 15


def prepare(top_BK: Tensor, right_B: Tensor) -> Tensor:
    """(B, 2 * 15): right or not less confidence, and 1, each in its bin."""
    import torch

    confidence_B = top_BK[:, 0].contiguous()
    bin_B = torch.bucketize(confidence_B, torch.arange(1, _BINS, dtype=torch.float64) / _BINS)
    inside_BK = torch.zeros(len(bin_B), _BINS, dtype=torch.float64).scatter_(1, bin_B[:, None], 1.0)
    return torch.cat([inside_BK * (right_B - confidence_B)[:, None], inside_BK], 1)


def score(prepared: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: the largest |accuracy - mean confidence| of a bin that is not empty (Guo et al. 2017, equation 5).

    Bins of equal width, (lower, upper]. Few samples in a bin make it large.
    """
    gaps_RK, rows_RK = (counts_RB @ prepared).split(_BINS, 1)
    return {"mce": (gaps_RK.abs() / rows_RK.clamp(min=1)).amax(1)}
