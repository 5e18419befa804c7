"""Scores of groups, their table, and which one is the worst."""

from __future__ import annotations

import json
import math

import pytest
import torch
from scipy.stats import beta

from lora_ensemble import Predictions, calibrate, evaluate
from lora_ensemble.analysis import evaluate_groups
from lora_ensemble.analysis.group_tables import GroupScores, groups_json
from lora_ensemble.analysis.groups import worst_group
from lora_ensemble.errors import ConfigurationError, DataError, UnknownNameError


def drawn(rows: int, split: str, seed: int = 0) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    labels_B = torch.arange(rows) % 3
    logits = torch.randn(2, rows, 3, generator=generator) + 2 * torch.nn.functional.one_hot(labels_B, 3)
    return Predictions(logits, labels_B, meta={"split": split})


P = drawn(103, "test")
GROUPS = ["ten"] * 50 + ["2"] * 50 + ["three"] * 3


def scored(calibration=None) -> GroupScores:
    parts = evaluate_groups(P, GROUPS, calibration=calibration, resamples=200)
    return GroupScores("site", evaluate(P, resamples=200), parts)


def test_a_group_has_the_scores_of_its_rows() -> None:
    found = evaluate_groups(P, GROUPS, intervals=False)
    assert list(found) == ["ten", "2", "three"]
    alone = evaluate(P.rows(torch.arange(100, 103)), intervals=False)
    assert found["three"].point == pytest.approx(alone.point, nan_ok=True)


def test_three_rows_keep_an_interval_as_wide_as_it_must_be() -> None:
    right = Predictions(9.0 * torch.nn.functional.one_hot(torch.arange(3), 3)[None].float(), torch.arange(3))
    found = evaluate_groups(right, ["x"] * 3, resamples=50)["x"]
    low, high = found.interval("accuracy")
    assert (found["accuracy"], high) == (1.0, 1.0)
    assert low == pytest.approx(beta.ppf(0.025, 3, 1))  # Clopper and Pearson: 0.29


def test_the_table_has_every_group_with_its_rows() -> None:
    found = scored()
    lines = found.table(scores=["accuracy", "nll"]).splitlines()
    assert [line.split("|")[1:3] for line in lines[2:6]] == [
        [" all ", " 103 "], [" 2 ", " 50 "], [" ten ", " 50 "], [" three ", " 3 "],
    ]  # fmt: skip
    worst = max(found.groups, key=lambda name: found.groups[name]["nll"])
    assert any(line.startswith(f"worst nll: {worst}, ") for line in lines)
    assert sum("**" in line for line in lines) >= 1
    assert "1 of 3 groups have fewer than 30 rows" in lines[-1]
    assert found.table("latex", ["nll"]).startswith(r"\begin{tabular}")
    with pytest.raises(UnknownNameError, match="Did you mean 'nll'"):
        found.table(scores=["nlll"])


def test_a_worst_group_within_chance_is_called_so() -> None:
    """Of groups that are drawn alike the interval of the worst one holds the value of all rows, nearly always."""
    alike = GroupScores("half", evaluate(P, resamples=500), evaluate_groups(P, [row % 2 for row in range(103)]))
    assert "which may be chance" in alike.table(scores=["accuracy"])
    labels_B = torch.arange(100) % 2
    wrong_B = torch.arange(100) < 50
    logits = 5.0 * torch.nn.functional.one_hot(torch.where(wrong_B, 1 - labels_B, labels_B), 2)[None].float()
    p = Predictions(logits, labels_B)
    apart = GroupScores("half", evaluate(p, resamples=500), evaluate_groups(p, wrong_B.tolist(), resamples=500))
    said = apart.table(scores=["accuracy"])
    assert "worst accuracy: True, 0.000 of 50 rows" in said
    assert "chance" not in said


def test_calibrated_scores_stand_beside_the_raw_ones() -> None:
    calibration = calibrate(drawn(200, "validation", 1), "temperature")
    parts = evaluate_groups(P, GROUPS, calibration=calibration, intervals=False)
    expected = evaluate(calibration(P).rows(torch.arange(50)), intervals=False)
    assert parts["ten"].calibrated is not None
    assert parts["ten"].calibrated["nll"] == pytest.approx(expected["nll"])
    assert worst_group(parts, "calibrated_nll") == max(
        parts, key=lambda g: parts[g].with_calibrated()["calibrated_nll"]
    )


def test_json_has_everything() -> None:
    plain = json.loads(groups_json({"a": scored()}))["a"]
    assert list(plain["groups"]) == ["2", "ten", "three"]
    assert plain["groups"]["three"]["about"]["samples"] == 3
    assert plain["worst"]["nll"] in plain["groups"]
    assert len(plain["groups"]["2"]["intervals"]["accuracy"]) == 2


def test_what_cannot_be_said() -> None:
    with pytest.raises(DataError, match="2 groups, expected 103"):
        evaluate_groups(P, ["a", "b"])
    parts = evaluate_groups(P, GROUPS, intervals=False)
    with pytest.raises(ConfigurationError, match="neither higher nor lower"):
        worst_group(parts, "total")
    unlabelled = evaluate_groups(Predictions(P.logits_MBC), GROUPS, intervals=False)
    with pytest.raises(DataError, match="no group has the score nll"):
        worst_group(unlabelled, "nll")
    assert not any(math.isnan(scores["total"]) for scores in unlabelled.values())
