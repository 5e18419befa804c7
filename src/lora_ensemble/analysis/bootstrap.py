"""Bootstrap over samples: how often each sample counts in each resample, and the percentile interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

_AT_A_TIME = 2**20
"""Counts that are given to metrics at a time: 8 MB, which the processor's cache holds."""


def resample_counts(size: int, resamples: int, generator: torch.Generator) -> Tensor:
    """(resamples, size) uint8: every row one resample of `size` draws. One sample drawn more than 255 times does not
    happen: in a resample of n draws its count is close to Poisson(1)."""
    counts = torch.empty(resamples, size, dtype=torch.uint8)
    rows = max(1, 2**22 // size)  # at a time, which bounds the memory
    for start in range(0, resamples, rows):
        part = counts[start : start + rows]
        drawn = torch.randint(size, part.shape, generator=generator) + size * torch.arange(len(part))[:, None]
        part.copy_(torch.bincount(drawn.flatten(), minlength=part.numel()).view_as(part))
    return counts


def in_parts(counts: Sequence[Tensor]) -> Iterator[Tensor]:
    """Some of the resamples at a time, of several sets side by side: (R, B) float64, each sample's counts together in
    memory, which makes sums over groups of samples fast."""
    size = sum(part.shape[1] for part in counts)
    for rows in zip(*(part.split(max(1, _AT_A_TIME // size)) for part in counts), strict=True):
        yield torch.cat([part.T for part in rows]).double().T


def interval(values_R: Tensor, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval (Efron and Tibshirani 1993, section 13.3) of the resampled values; NaN if one is NaN."""
    tail = (1 - level) / 2
    low, high = torch.quantile(values_R, values_R.new_tensor([tail, 1 - tail])).tolist()
    return low, high
