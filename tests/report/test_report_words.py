"""Names of scores and quantities for readers."""

from __future__ import annotations

import pytest

from lora_ensemble import registry
from lora_ensemble.report.results import COSTS
from lora_ensemble.report.words import label, quantity


@pytest.mark.parametrize(
    ("score", "better", "text"),
    [
        ("accuracy", "higher", "accuracy\u00a0↑"),
        ("ece_15", "lower", "ECE, 15 bins\u00a0↓"),
        ("auroc_mutual_information", None, "AUROC, mutual information"),
        ("auroc_msp[letters]", "higher", "AUROC, largest probability, letters\u00a0↑"),
        ("fpr95_entropy", "lower", "FPR at 95 %, entropy\u00a0↓"),
    ],
)
def test_label(score, better, text):
    assert label(score, better) == text


def test_every_score_has_a_different_label():
    scores = [name for metric in registry.names("metrics") for name in registry.module("metrics", metric).BETTER]
    assert len({label(name) for name in scores}) == len(scores)


@pytest.mark.parametrize(
    ("cost", "value", "text"),
    [
        ("train_seconds", 83.21, "83.2 s"),
        ("train_seconds", 4812.0, "4,812 s"),
        ("predict_seconds_per_example", 0.00123, "1.23 ms"),
        ("predict_seconds_per_example", 2e-5, "20.0 µs"),
        ("parameters_trained", 0, "0"),
        ("parameters_trained", 640, "640"),
        ("parameters_trained", 1_234_567, "1.23 M"),
        ("peak_memory_bytes", 3 * 2**29, "1.50 GiB"),
    ],
)
def test_quantity(cost, value, text):
    assert cost in COSTS
    assert quantity(cost, value) == text
