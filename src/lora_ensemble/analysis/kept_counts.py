"""Of every threshold that a set of rows offers: how many it keeps, how many of these are wrong, what that promises."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True, eq=False)
class KeptCounts:
    """By rising threshold; equal uncertainties are one."""

    threshold: np.ndarray
    """(G,) different uncertainties."""
    kept: np.ndarray
    """(G,) rows of at most that uncertainty."""
    wrong: np.ndarray
    """(G,) wrong ones among them."""

    @classmethod
    def of(cls, uncertainty_B: Tensor, wrong_B: Tensor) -> KeptCounts:
        threshold, group_B, count = np.unique(uncertainty_B.numpy(), return_inverse=True, return_counts=True)
        wrong = np.bincount(group_B.ravel(), wrong_B.numpy(), len(threshold)).round().astype(np.int64)
        return cls(threshold, count.cumsum(), wrong.cumsum())

    @property
    def rows(self) -> int:
        return int(self.kept[-1])


def largest_promised(counts: KeptCounts, risk: float, confidence: float) -> int | None:
    """The highest threshold whose risk is promised, as its number; None where there is none."""
    from scipy.stats import binom

    starts = _starts(counts.rows, risk, confidence)
    if not starts:
        return None
    p_values_G = binom.cdf(counts.wrong, counts.kept, risk)
    failed = np.append((p_values_G > (1 - confidence) / len(starts)).nonzero()[0], len(p_values_G))
    reached = []
    for start in starts:
        first = int(np.searchsorted(counts.kept, start))
        stop = int(failed[np.searchsorted(failed, first)])
        if stop > first:
            reached.append(stop - 1)
    return max(reached, default=None)


def _starts(rows: int, risk: float, confidence: float) -> list[int]:
    """Numbers of kept rows at which a sequence begins: all, a half, a quarter ..., as far as no error among them would
    be a proof. They depend on no label and no uncertainty."""
    starts: list[int] = []
    while True:
        kept = math.ceil(rows / 2 ** len(starts))
        enough = math.log((1 - confidence) / (len(starts) + 1)) / math.log1p(-risk)
        if kept < enough or kept in starts:
            return starts
        starts.append(kept)


def best_risk(counts: KeptCounts, confidence: float) -> tuple[float, int]:
    """The smallest risk that can be promised, by bisection, and the threshold's number."""
    low, high = 0.0, 1.0 - 1e-9
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if largest_promised(counts, middle, confidence) is not None else (middle, high)
    at = largest_promised(counts, high, confidence)
    return high, len(counts.kept) - 1 if at is None else at


def at_least(value: float) -> float:
    """Rounded up to four digits after the point."""
    return math.ceil(value * 1e4 - 1e-9) / 1e4


def smallest_covering(counts: KeptCounts, coverage: float, confidence: float) -> int | None:
    """The lowest threshold that keeps this share of new rows: the share below the k-th of n uncertainties has a beta
    distribution (k, n + 1 - k), whatever the uncertainty's own."""
    from scipy.stats import beta

    promised = beta.sf(coverage, counts.kept, counts.rows + 1 - counts.kept) >= confidence
    return int(promised.argmax()) if bool(promised.any()) else None
