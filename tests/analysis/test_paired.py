"""Paired comparisons and groups."""

from __future__ import annotations

import pytest
import torch

from lora_ensemble.analysis import evaluate
from lora_ensemble.analysis.groups import evaluate_groups, worst_group
from lora_ensemble.analysis.paired import holm, paired
from lora_ensemble.errors import ConfigurationError, DataError, UnknownNameError
from lora_ensemble.predictions import Predictions


def predictions(signal: float, rows: int = 200) -> Predictions:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (rows,), generator=generator)
    noise = torch.randn(2, rows, 3, generator=generator)
    return Predictions(noise + signal * torch.nn.functional.one_hot(labels, 3), labels)


def test_the_better_one_is_found() -> None:
    good, bad = predictions(3.0), predictions(0.5)
    found = paired(good, bad, "nll", resamples=200)
    assert found.a_is_better
    assert found.difference == pytest.approx(
        evaluate(good, intervals=False)["nll"] - evaluate(bad, intervals=False)["nll"]
    )
    assert found.interval[0] < found.difference < found.interval[1] < 0
    assert found.p_value == pytest.approx(2 / 201)
    assert paired(bad, good, "accuracy", resamples=200).a_is_better is False


def test_a_method_is_no_better_than_itself() -> None:
    found = paired(predictions(1.0), predictions(1.0), "accuracy", resamples=50)
    assert (found.difference, found.p_value, found.a_is_better) == (0, 1, False)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.8]) == (1, 1)


def test_groups_and_the_worst() -> None:
    p = predictions(1.0)
    groups = ["x" if b % 2 else "y" for b in range(len(p))]
    found = evaluate_groups(p, groups, intervals=False)
    assert list(found) == ["y", "x"]
    assert found["x"]["nll"] == evaluate(p.rows(slice(1, None, 2)), intervals=False)["nll"]
    worst = worst_group(found, "accuracy")
    assert found[worst]["accuracy"] == min(scores["accuracy"] for scores in found.values())
    with pytest.raises(DataError, match="there are 3 groups, expected 200"):
        evaluate_groups(p, ["a"] * 3)


def test_what_is_refused() -> None:
    p = predictions(1.0)
    with pytest.raises(DataError, match="the same samples"):
        paired(p, predictions(1.0, rows=20), "nll")
    with pytest.raises(UnknownNameError, match="Did you mean 'nll'"):
        paired(p, p, "nl")
    with pytest.raises(ConfigurationError, match="neither"):
        paired(p, p, "total")
