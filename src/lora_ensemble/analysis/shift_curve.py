"""shift_curve: scores and uncertainties against the severity of shifts, and the mean corruption error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lora_ensemble.analysis.raw_and_calibrated import evaluate_both
from lora_ensemble.analysis.rendering import mean
from lora_ensemble.analysis.scoring import CALIBRATED
from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Pooling, Predictions

if TYPE_CHECKING:
    from lora_ensemble.contracts import Calibration

SCORES = ("accuracy", "nll", "ece_15", "total", "aleatoric", "epistemic")
AFTER = ("nll", "ece_15")
"""Scores that are followed after calibration, too, as `calibrated_<name>`."""


@dataclass(frozen=True)
class ShiftCurve:
    """Scores of an ensemble on rows as they are, severity 0, and after shifts."""

    severities: tuple[int, ...]
    """The S severities, 0 first, rising."""
    scores: dict[str, dict[str, tuple[float, ...]]]
    """By shift, by score: at each severity; NaN at one that was not asked for."""
    mean: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """By score: the mean over shifts, at each severity."""

    @property
    def corruption_errors(self) -> dict[str, float]:
        """By shift: the error, 1 - accuracy, as a mean over the severities above 0. Empty without labels."""
        found = {}
        for shift, scores in self.scores.items():
            if "accuracy" in scores:
                found[shift] = mean([1 - v for v in scores["accuracy"][1:] if not math.isnan(v)])
        return found

    @property
    def mean_corruption_error(self) -> float:
        """The mean of `corruption_errors` over shifts, 0 .. 1; NaN without labels. As of Hendrycks and Dietterich 2019,
        section 3, without a baseline to divide by; see `relative_to`."""
        errors = list(self.corruption_errors.values())
        return mean(errors) if errors else math.nan

    def relative_to(self, baseline: ShiftCurve) -> float:
        """Mean corruption error against a baseline's: the mean over shifts of the quotient of both errors, 1 for the
        baseline itself (there the baseline is AlexNet). Raises DataError for other shifts or severities; NaN where the
        baseline is never wrong."""
        own, other = self.corruption_errors, baseline.corruption_errors
        if own.keys() != other.keys() or self.severities != baseline.severities:
            raise DataError("the curves are of other shifts or severities")
        return mean([own[s] / other[s] if other[s] else math.nan for s in own]) if own else math.nan


def shift_curve(
    clean: Predictions,
    shifted: Iterable[tuple[str, int, Predictions]],
    *,
    calibration: Calibration | None = None,
    pooling: Pooling = "mean-of-probabilities",
) -> ShiftCurve:
    """clean: predictions of the rows as they are. shifted: name of a shift, severity, and predictions of the same
    members after it, one after another, so that only one needs to be in memory. calibration: fitted to rows as they
    are, which is what a user has: the curve shows how long it holds.

    Raises DataError for none, and for predictions of other rows or members."""
    start = _row(clean, calibration, pooling)
    found: dict[str, dict[int, dict[str, float]]] = {}
    for name, severity, p in shifted:
        if p.ids != clean.ids or p.num_members != clean.num_members:
            raise DataError(f"the predictions after {name} {severity} are of other rows or members")
        found.setdefault(name, {})[severity] = _row(p, calibration, pooling)
    if not found:
        raise DataError("there are no shifts")
    severities = (0, *sorted({severity for rows in found.values() for severity in rows}))
    scores = {name: _columns({0: start, **rows}, severities, start) for name, rows in found.items()}
    means = {
        score: tuple(_mean([scores[name][score][k] for name in scores]) for k in range(len(severities)))
        for score in start
    }
    return ShiftCurve(severities, scores, means)


def shift_from(values: Mapping[str, Any]) -> ShiftCurve:
    """From JSON values, in which null stands for NaN."""

    def numbers(found: Mapping[str, Sequence[float | None]]) -> dict[str, tuple[float, ...]]:
        return {name: tuple(math.nan if v is None else float(v) for v in row) for name, row in found.items()}

    scores = {shift: numbers(found) for shift, found in values["scores"].items()}
    return ShiftCurve(tuple(values["severities"]), scores, numbers(values["mean"]))


def _row(p: Predictions, calibration: Calibration | None, pooling: Pooling) -> dict[str, float]:
    scores = evaluate_both(p, calibration=calibration, intervals=False, pooling=pooling)
    row = {name: scores[name] for name in SCORES if name in scores}
    if scores.calibrated is not None:
        row |= {f"{CALIBRATED}{name}": scores.calibrated[name] for name in AFTER if name in scores.calibrated}
    return row


def _columns(
    rows: Mapping[int, Mapping[str, float]], severities: Sequence[int], names: Iterable[str]
) -> dict[str, tuple[float, ...]]:
    return {name: tuple(rows.get(severity, {}).get(name, math.nan) for severity in severities) for name in names}


def _mean(values: Sequence[float]) -> float:
    """Of those that there are."""
    there = [value for value in values if not math.isnan(value)]
    return mean(there) if there else math.nan
