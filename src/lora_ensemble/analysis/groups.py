"""evaluate_groups: every score for each group of samples, and the worst group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from lora_ensemble.analysis.binomial import Share
from lora_ensemble.analysis.raw_and_calibrated import evaluate_both
from lora_ensemble.analysis.scores import Scores
from lora_ensemble.analysis.scoring import better
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.predictions import Predictions

if TYPE_CHECKING:
    from lora_ensemble.contracts import Calibration


def evaluate_groups(
    p: Predictions, groups: Sequence[Any], *, calibration: Calibration | None = None, **options: Any
) -> dict[str, Scores]:
    """Scores of the samples of each group, by its name, in the order in which groups first come.

    groups: (B,) values, one for each sample. calibration: scores after it stand beside the raw ones, as `.calibrated`.
    options: those of `evaluate`. The interval of the accuracy is exact (Clopper and Pearson 1934), so that it is as
    wide as it must be for a group of three samples; those of other scores come from resampling, which is too sure of
    itself with so few. Raises DataError for another number of values, and for another run's calibration.
    """
    if len(groups) != len(p):
        raise DataError(f"there are {len(groups)} groups, expected {len(p)}: one for each sample")
    names = [str(value) for value in groups]
    rows = {name: torch.tensor([other == name for other in names]) for name in dict.fromkeys(names)}
    scored = {name: evaluate_both(p.rows(chosen), calibration=calibration, **options) for name, chosen in rows.items()}
    return {name: _exact(scores) for name, scores in scored.items()}


def _exact(scores: Scores) -> Scores:
    """With the exact interval of the accuracy, where intervals were asked for."""
    after = None if scores.calibrated is None else _exact(scores.calibrated)
    intervals = scores.intervals
    if "accuracy" in intervals:
        rows = scores.about["samples"]
        share = Share.of(round(scores["accuracy"] * rows), rows)
        intervals = {**intervals, "accuracy": (share.low, share.high)}
    return replace(scores, intervals=intervals, calibrated=after)


def worst_group(by_group: dict[str, Scores], score: str) -> str:
    """The group with the worst value of a score, or of one after calibration (`calibrated_nll`); those without one
    count for nothing.

    Raises ConfigurationError for a score of which neither way is better, DataError where no group has it.
    """
    direction = better(score)
    if direction is None:
        raise ConfigurationError([f"score = {score}: neither higher nor lower values of it are better"])
    found = {name: scores.with_calibrated().get(score, math.nan) for name, scores in by_group.items()}
    values = {name: value for name, value in found.items() if not math.isnan(value)}
    if not values:
        raise DataError(f"no group has the score {score}")
    choose = min if direction == "higher" else max
    return choose(values, key=lambda name: values[name])
