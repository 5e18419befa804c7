"""What one more member brings, and which members to take first."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from lora_ensemble.analysis.members_curve import MembersCurve
from lora_ensemble.analysis.scoring import applicable, better, compute
from lora_ensemble.errors import ConfigurationError, UnknownNameError
from lora_ensemble.predictions import Predictions


def one_more(curve: MembersCurve) -> dict[str, float]:
    """By score: by how much it is expected to change with one member more than the curve's largest number k.

    From a least-squares fit of a + b / k to the curve's means, at least two sizes. For the Brier score of pooled
    probabilities this form is exact (the mean over members of a square, less their variance over k); for other scores
    it is what the second order of an expansion gives. NaN where it cannot be told."""
    found = {}
    largest = max(curve.sizes)
    for name, values in curve.mean.items():
        points = [(1 / k, v) for k, v in zip(curve.sizes, values, strict=True) if not math.isnan(v)]
        if len({x for x, _ in points}) < 2:
            found[name] = math.nan
            continue
        x_mean, y_mean = (math.fsum(part) / len(points) for part in zip(*points, strict=True))
        slope = math.fsum((x - x_mean) * (y - y_mean) for x, y in points)
        slope /= math.fsum((x - x_mean) ** 2 for x, _ in points)
        found[name] = slope * (1 / (largest + 1) - 1 / largest)
    return found


@dataclass(frozen=True)
class Selection:
    """Members in the order in which they were taken."""

    score: str
    order: tuple[int, ...]
    """Every member once."""
    values: tuple[float, ...]
    """The score of the first 1, 2, ... of them, on what they were selected by."""

    @property
    def best(self) -> tuple[int, ...]:
        """The first so many with the best value, in rising order: for `p.members(...)`."""
        sign = -1 if better(self.score) == "higher" else 1
        count = min(range(len(self.values)), key=lambda k: (sign * self.values[k], k)) + 1
        return tuple(sorted(self.order[:count]))


def greedy_selection(validation: Predictions, score: str = "nll") -> Selection:
    """Forward selection: each time the member with which the pool has the best score (Caruana et al. 2004, "Ensemble
    Selection from Libraries of Models", without taking a member twice).

    On validation, not on what is reported: choosing uses the rows up. Raises UnknownNameError for a score that these
    predictions do not have, ConfigurationError for one of which no way is better."""
    if score not in applicable(validation):
        raise UnknownNameError("score", score, applicable(validation))
    direction = better(score)
    if direction is None:
        raise ConfigurationError([f"score = {score!r}: neither higher nor lower values are better"])
    sign = -1 if direction == "higher" else 1
    p = validation.for_subsets()
    ones = torch.ones(1, len(p), dtype=torch.float64)
    order: list[int] = []
    values: list[float] = []
    while len(order) < p.num_members:
        left = [m for m in range(p.num_members) if m not in order]
        scored = {m: float(compute(p.members(sorted([*order, m])), ones, names=[score])[score]) for m in left}
        taken = min(left, key=lambda m: (sign * scored[m], m))
        order.append(taken)
        values.append(scored[taken])
    return Selection(score, tuple(order), tuple(values))
