"""Probabilities in place of logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.testing import assert_close

from lora_ensemble.analysis import evaluate
from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions

PROBS = np.array([[[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]], [[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]]])


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(2, 5)), elements=st.floats(0, 9)))
def test_probabilities_come_back(values: np.ndarray) -> None:
    values[..., 0] += 1e-3  # no row of zeros
    probs = values / values.sum(-1, keepdims=True)
    p = Predictions.from_probs(probs)
    assert_close(p.probs_MBC, torch.tensor(probs).float(), atol=1e-6, rtol=1e-5)
    assert_close(p.pooled_probs(), torch.tensor(probs).mean(0), atol=1e-6, rtol=1e-5)


def test_a_probability_of_exactly_zero_stays_zero() -> None:
    p = Predictions.from_probs(PROBS, labels_B=[0, 1])
    assert p.pooled_probs()[0, 2] == pytest.approx(0.05)
    certain = p.members([0]).rows([1])
    assert torch.equal(certain.pooled_probs(), torch.tensor([[0.0, 1.0, 0.0]]).double())
    assert certain.total_B == 0
    assert evaluate(certain, intervals=False)["nll"] == 0


def test_it_is_remembered_that_they_were_probabilities(tmp_path: Path) -> None:
    p = Predictions.from_probs(PROBS, ids=["a", "b"], meta={"seed": 1})
    assert p.from_probabilities
    p.save(tmp_path / "p.safetensors")
    assert Predictions.load(tmp_path / "p.safetensors").members([1]).from_probabilities
    assert not Predictions(p.logits_MBC).from_probabilities


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        ([[0.5, 0.5], [0.9, 0.2]], r"member 0, row 1 has probabilities that sum to 1\.1"),
        ([[0.5, 0.5], [1.5, -0.5]], r"member 0, row 1 has the probability -0\.5: expected at least 0"),
        ([[np.nan, 0.5]], "row 0 has probabilities that sum to nan"),
        ([[np.inf, 0.5]], "row 0 has probabilities that sum to inf"),
        ([0.5, 0.5], r"probabilities have shape \(2,\)"),
        ([[1.0]], "two classes"),
    ],
)
def test_what_is_no_probability_is_refused(probs: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Predictions.from_probs(np.array(probs))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_probabilities_are_refused_where_logits_are_expected(dtype: type) -> None:
    with pytest.raises(DataError, match=r"look like probabilities.*Predictions\.from_probs"):
        Predictions(PROBS.astype(dtype))


def test_logits_that_are_not_probabilities_in_one_row_are_logits(tmp_path: Path) -> None:
    logits = PROBS.copy()
    logits[1, 1, 0] += 0.5
    p = Predictions(logits)
    # A part of them, or a file of that part, is no mistake.
    part = p.members([0])
    part.save(tmp_path / "p.safetensors")
    assert torch.equal(Predictions.load(tmp_path / "p.safetensors").logits_MBC, part.logits_MBC)


def test_half_precision_sums_to_one_nearly() -> None:
    probs = torch.softmax(torch.randn(1, 50, 1000, generator=torch.Generator().manual_seed(0)), -1)
    p = Predictions.from_probs(probs.bfloat16())
    assert_close(p.probs_MBC.sum(-1), torch.ones(1, 50))
