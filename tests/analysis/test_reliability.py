"""Reliability bins against a slow twin, and their sum against ECE."""

from __future__ import annotations

import math

import pytest
import torch

from lora_ensemble.analysis import evaluate, reliability
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.predictions import Predictions


def predictions(rows: int = 300) -> Predictions:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, rows, 3, generator=generator)
    return Predictions(logits, torch.randint(3, (rows,), generator=generator))


@pytest.mark.parametrize("bins", [10, 15])
def test_bins_against_a_loop(bins: int) -> None:
    p = predictions()
    found = reliability(p, bins)
    confidence, predicted = p.pooled_probs().max(-1)
    for k in range(bins):
        inside = [b for b in range(len(p)) if k / bins < confidence[b] <= (k + 1) / bins]
        assert found.count_K[k] == len(inside)
        if inside:
            hits = [bool(predicted[b] == p.labels_B[b]) for b in inside]
            assert found.accuracy_K[k] == pytest.approx(sum(hits) / len(hits))
            assert found.confidence_K[k] == pytest.approx(float(confidence[inside].mean()))
        else:
            assert math.isnan(found.accuracy_K[k])
    assert found.ece == pytest.approx(evaluate(p, intervals=False)[f"ece_{bins}"])


def test_labels_drawn_from_the_predictions_are_calibrated() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(1, 40_000, 3, generator=generator)
    labels = torch.multinomial(torch.softmax(logits[0], -1), 1, generator=generator).squeeze(1)
    assert reliability(Predictions(logits, labels)).ece < 0.01
    assert reliability(Predictions(3 * logits, labels)).ece > 0.05


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match="needs labels"):
        reliability(Predictions(torch.zeros(1, 2, 3)))
    with pytest.raises(ConfigurationError, match="bins = 0"):
        reliability(predictions(), bins=0)
