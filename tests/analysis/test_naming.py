"""What scores are called, and which are shown unasked: from the metric files."""

from __future__ import annotations

import types

import pytest

from lora_ensemble import registry
from lora_ensemble.analysis import naming, table
from lora_ensemble.analysis.naming import common, digits_of, label
from lora_ensemble.analysis.scoring import source_of


@pytest.mark.parametrize(
    ("score", "arrow", "text"),
    [
        ("accuracy", True, "accuracy\u00a0↑"),
        ("ece_15", True, "ECE, 15 bins\u00a0↓"),
        ("auroc_mutual_information", False, "AUROC, mutual information"),
        ("auroc_msp[letters]", True, "AUROC, largest probability, letters\u00a0↑"),
        ("fpr95_entropy", True, "FPR at 95 %, entropy\u00a0↓"),
        ("trained_millions", True, "trained millions"),
    ],
)
def test_label(score: str, arrow: bool, text: str) -> None:
    assert label(score, arrow) == text


def test_every_score_has_a_different_label() -> None:
    scores = [name for metric in registry.names("metrics") for name in registry.module("metrics", metric).BETTER]
    assert len({label(name) for name in scores}) == len(scores)


def test_what_a_metric_says_of_scores_is_of_its_own() -> None:
    for name in registry.names("metrics"):
        metric = registry.module("metrics", name)
        for said in ("LABELS", "COLUMNS", "DIGITS"):
            for score in getattr(metric, said, {}):
                assert score in metric.BETTER or (source_of(score) or [None])[0] is metric, f"{said} of {name}"


def test_common_columns_are_those_of_every_ood_set_in_their_places() -> None:
    available = ["auroc_entropy[b]", "nll", "aurc", "auroc_entropy[a]", "accuracy", "auroc_msp[a]"]
    assert common(available) == ("accuracy", "nll", "auroc_entropy[b]", "auroc_entropy[a]")


def test_a_new_score_needs_its_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = types.SimpleNamespace(BETTER={"top_2": "higher"}, LABELS={"top_2": "top 2"}, COLUMNS={"top_2": 15})
    known = naming.metrics()
    monkeypatch.setattr(naming, "metrics", lambda: [*known, metric])
    assert label("top_2[x]") == "top 2, x"
    assert table({"a": [{"nll": 1.0, "top_2": 0.5, "accuracy": 0.25}]}).columns == ("accuracy", "top_2", "nll")


def test_digits_are_those_asked_for_else_the_metrics_own() -> None:
    made = table({"a": [{"aurc": 0.01234, "nll": 0.01234}]}, ["aurc", "nll"])
    assert "| a | 0.0123 | 0.012 |" in made.to_markdown()
    assert "| a | 0.01 | 0.01 |" in made.to_markdown(2)
    assert digits_of("aurc[x]") == 4
