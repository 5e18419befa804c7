"""Scores of a cross-validation: over folds and of all rows together."""

from __future__ import annotations

import re
import statistics

import pytest
import torch

from lora_ensemble.analysis import evaluate
from lora_ensemble.analysis.fold_scores import FoldScores, evaluate_folds
from lora_ensemble.errors import UnknownNameError
from lora_ensemble.predictions import Predictions


def noisy(rows: int, right: int, fold: int) -> Predictions:
    """Two members, both right on the first `right` rows, of two classes and not sure."""
    labels_B = torch.arange(rows) % 2
    said_B = torch.where(torch.arange(rows) < right, labels_B, 1 - labels_B)
    logits_BC = torch.nn.functional.one_hot(said_B, 2).float()
    return Predictions(torch.stack([logits_BC, 2 * logits_BC]), labels_B, [f"{fold}/{b}" for b in range(rows)])


@pytest.fixture
def scores() -> FoldScores:
    parts = {1: noisy(10, 9, 1), 2: noisy(10, 6, 2), 5: noisy(20, 18, 5)}
    return evaluate_folds(parts, resamples=50)


def test_folds_count_alike_in_the_mean_and_rows_in_the_pooled_score(scores: FoldScores) -> None:
    assert scores.mean("accuracy") == pytest.approx(0.8)
    assert scores.std("accuracy") == pytest.approx(statistics.stdev([0.9, 0.6, 0.9]))
    assert scores.pooled["accuracy"] == pytest.approx(33 / 40)
    together = Predictions.concat_rows([noisy(10, 9, 1), noisy(10, 6, 2), noisy(20, 18, 5)])
    assert dict(scores.pooled) == pytest.approx(dict(evaluate(together, intervals=False)), nan_ok=True)
    low, high = scores.pooled.interval("accuracy")
    assert low < 33 / 40 < high
    assert not scores.folds[1].intervals


def test_the_table(scores: FoldScores) -> None:
    lines = scores.to_markdown(3).splitlines()
    assert lines[0] == "| score | mean ± std of 3 folds | pooled | 95 % interval |"
    row = next(line for line in lines if line.startswith("| accuracy"))
    assert re.fullmatch(r"\| accuracy ↑ \| 0\.800 ± 0\.173 \| 0\.825 \| 0\.\d{3} to 0\.\d{3} \|", row)
    assert len(lines) == 2 + len(scores.pooled)
    assert r"\begin{tabular}{lrrr}" in scores.to_latex()


def test_the_note_stands_below_the_table(scores: FoldScores) -> None:
    noted = FoldScores(scores.folds, scores.pooled, "Read this.")
    assert noted.to_markdown() == scores.to_markdown() + "\nRead this.\n"
    assert noted.to_latex() == scores.to_latex() + "% Read this.\n"


def test_one_fold_has_no_spread() -> None:
    alone = evaluate_folds({3: noisy(10, 9, 3)}, intervals=False)
    assert "| accuracy ↑ | 0.9000 | 0.9000 |" in alone.to_markdown()
    assert "| one fold |" in alone.to_markdown()


def test_a_score_that_there_is_not(scores: FoldScores) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown score 'acuracy'\. Did you mean 'accuracy'"):
        scores.mean("acuracy")
