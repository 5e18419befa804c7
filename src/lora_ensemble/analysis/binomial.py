"""Exact binomial bounds: what a count says of a rate."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """A share of rows, with its exact interval (Clopper and Pearson 1934), which covers at least at its rate."""

    value: float
    """NaN of no rows."""
    low: float
    high: float
    rows: int
    """Of how many."""

    @classmethod
    def of(cls, hits: int, rows: int, confidence: float = 0.95) -> Share:
        """Two-sided."""
        if rows == 0:
            return cls(math.nan, 0.0, 1.0, 0)
        each = (1 + confidence) / 2
        return cls(hits / rows, 1 - upper_bound(rows - hits, rows, each), upper_bound(hits, rows, each), rows)

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}, {self.rows} rows)"


def upper_bound(hits: int, rows: int, confidence: float) -> float:
    """What the rate does not exceed, with this confidence: one-sided and exact."""
    from scipy.stats import beta

    return 1.0 if hits >= rows else float(beta.ppf(confidence, hits + 1, rows - hits))
