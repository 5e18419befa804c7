"""Which methods are better: pairs of methods on the same samples, corrected for many comparisons."""

from __future__ import annotations

import json

import pytest
import torch

from lora_ensemble.analysis import all_pairs
from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions


def method(noise: float, seed: int) -> Predictions:
    """Logits that know the label, less so with more noise."""
    labels_B = torch.arange(600) % 3
    logits_BC = 3 * torch.nn.functional.one_hot(labels_B, 3).float()
    noise_BC = noise * torch.randn(600, 3, generator=torch.Generator().manual_seed(seed))
    return Predictions(logits_BC + noise_BC, labels_B)


def test_a_real_difference_is_told_from_chance() -> None:
    found = all_pairs({"good": method(1, 0), "as good": method(1, 1), "bad": method(4, 2)}, ["nll"], resamples=1000)
    assert [(p.a, p.b, p.better) for p in found.pairs] == [
        ("good", "as good", None),
        ("good", "bad", "good"),
        ("as good", "bad", "as good"),
    ]
    assert "no real difference" in found.to_markdown()
    assert [row["better"] for row in json.loads(found.to_json())] == [None, "good", "as good"]
    assert found.to_latex().startswith("\\begin{tabular}")


def test_many_comparisons_make_a_claim_harder() -> None:
    methods = {"a": method(1, 0), "b": method(1.4, 1)}
    alone, among = (
        all_pairs(methods, ["brier"], resamples=1000),
        all_pairs(methods, ["brier", "nll", "accuracy"], resamples=1000),
    )
    assert among.pairs[0].found == alone.pairs[0].found
    assert among.pairs[0].corrected_p >= alone.pairs[0].corrected_p


def test_one_method_is_no_pair() -> None:
    with pytest.raises(DataError, match="needs at least two methods, there are 1"):
        all_pairs({"a": method(1, 0)})
