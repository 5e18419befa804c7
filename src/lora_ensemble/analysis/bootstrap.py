"""Bootstrap over samples: how often each sample counts in each resample, and the percentile interval."""

from __future__ import annotations

import torch
from torch import Tensor


def resample_counts(size: int, resamples: int, generator: torch.Generator) -> Tensor:
    """(resamples, size) float64: every row one resample of `size` draws."""
    counts = torch.empty(resamples, size, dtype=torch.float64)
    rows = max(1, 2**22 // size)  # at a time, which bounds the memory
    for start in range(0, resamples, rows):
        part = counts[start : start + rows]
        drawn = torch.randint(size, part.shape, generator=generator) + size * torch.arange(len(part))[:, None]
        part.copy_(torch.bincount(drawn.flatten(), minlength=part.numel()).view_as(part))
    return counts


def interval(values_R: Tensor, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval (Efron and Tibshirani 1993, section 13.3) of the resampled values; NaN if one is NaN."""
    tail = (1 - level) / 2
    low, high = torch.quantile(values_R, values_R.new_tensor([tail, 1 - tail])).tolist()
    return low, high
