"""Scores against severity: closed forms of the corruption errors, and tables."""

from __future__ import annotations

import json
import math

import pytest
import torch

from lora_ensemble.analysis import calibrate, evaluate, shift_curve
from lora_ensemble.analysis.shift_tables import by_severity, by_shift, shifts_json
from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions


def right_in(count: int, rows: int = 10, members: int = 2) -> Predictions:
    """The first `count` rows right."""
    labels = torch.zeros(rows, dtype=torch.long)
    logits = torch.zeros(members, rows, 3)
    logits[:, :count, 0], logits[:, count:, 1] = 2.0, 2.0
    return Predictions(logits, labels, [f"r{i}" for i in range(rows)])


def test_corruption_error_is_the_mean_over_severities_and_then_over_shifts() -> None:
    shifted = [("fog", 1, right_in(8)), ("fog", 5, right_in(2)), ("snow", 1, right_in(10)), ("snow", 5, right_in(6))]
    curve = shift_curve(right_in(9), iter(shifted))
    assert curve.severities == (0, 1, 5)
    assert curve.scores["fog"]["accuracy"] == pytest.approx((0.9, 0.8, 0.2))
    assert curve.corruption_errors == pytest.approx({"fog": 0.5, "snow": 0.2})
    assert curve.mean_corruption_error == pytest.approx(0.35)
    assert curve.mean["accuracy"] == pytest.approx((0.9, 0.9, 0.4))
    worse = shift_curve(right_in(9), [("fog", 1, right_in(4)), ("fog", 5, right_in(0)), *shifted[2:]])
    assert worse.relative_to(curve) == pytest.approx((0.8 / 0.5 + 1) / 2)
    assert curve.relative_to(curve) == 1
    assert "mean corruption error" in by_shift({"a": curve, "b": worse})
    assert by_severity(curve).count("\n") == 2 + 3
    assert json.loads(shifts_json({"a": curve}))["a"]["mean_corruption_error"] == pytest.approx(0.35)


def test_a_severity_that_one_shift_lacks_is_left_out_of_the_mean() -> None:
    curve = shift_curve(right_in(9), [("fog", 1, right_in(8)), ("snow", 2, right_in(6))])
    assert math.isnan(curve.scores["fog"]["accuracy"][2])
    assert curve.mean["accuracy"] == pytest.approx((0.9, 0.8, 0.6))
    assert json.loads(shifts_json({"a": curve}))["a"]["scores"]["fog"]["accuracy"][2] is None


def test_calibrated_scores_are_those_of_the_calibration_of_clean_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(2, 200, 3, generator=generator)
    labels = torch.randint(3, (200,), generator=generator)
    clean = Predictions(logits, labels, [f"r{i}" for i in range(200)])
    after = Predictions(logits.flip(1), labels, clean.ids)
    calibration = calibrate(clean)
    curve = shift_curve(clean, [("noise", 3, after)], calibration=calibration)
    expected = evaluate(calibration(after), intervals=False)["nll"]
    assert curve.scores["noise"]["calibrated_nll"][1] == expected


def test_other_rows_or_none_are_refused() -> None:
    with pytest.raises(DataError, match="no shifts"):
        shift_curve(right_in(3), [])
    with pytest.raises(DataError, match="fog 1 are of other rows"):
        shift_curve(right_in(3), [("fog", 1, right_in(3, rows=9))])
