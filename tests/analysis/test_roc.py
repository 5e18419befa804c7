"""ROC curves against scikit-learn, and their area against the score of the same name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_curve

from lora_ensemble.analysis import evaluate, roc, uncertainty
from lora_ensemble.errors import UnknownNameError
from lora_ensemble.predictions import Predictions


def predictions(rows: int, scale: float, seed: int, members: int = 3) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    # Rounded, so that there are ties.
    return Predictions((scale * torch.randn(members, rows, 3, generator=generator)).round())


INSIDE, OUTSIDE = predictions(60, 2.0, 0), predictions(40, 1.0, 1)


@pytest.mark.parametrize("by", ["msp", "entropy", "mutual_information", "expected_entropy", "energy", "divergence"])
def test_points_and_area(by: str) -> None:
    curve = roc(INSIDE, OUTSIDE, by)
    scores = [uncertainty(part, by).numpy() for part in (INSIDE, OUTSIDE)]
    false, true, _ = roc_curve(np.repeat([0, 1], [60, 40]), np.concatenate(scores), drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positive_K.numpy(), false)
    np.testing.assert_allclose(curve.true_positive_K.numpy(), true)
    name = f"auroc_{by}"
    assert curve.auroc == pytest.approx(evaluate(INSIDE, OUTSIDE, intervals=False)[name], abs=1e-6)


def test_between_points_it_is_straight_and_at_a_rise_the_highest() -> None:
    curve = roc(INSIDE, OUTSIDE)
    false = torch.linspace(0, 1, 201, dtype=torch.float64)
    found = curve.true_positive_at(false).numpy()
    x, y = curve.false_positive_K.numpy(), curve.true_positive_K.numpy()
    for share, value in zip(false.tolist(), found.tolist(), strict=True):
        left = x[x <= share].max()
        here = y[x == left].max()
        if left < share:
            right = x[x > share].min()
            here += (share - left) / (right - left) * (y[x == right].min() - here)
        assert value == pytest.approx(here, abs=1e-12)
    assert found[0] == y[x == 0].max()
    assert found[-1] == 1


def test_closed_forms() -> None:
    sure, unsure = Predictions(torch.tensor([[[9.0, 0.0]] * 4])), Predictions(torch.zeros(1, 2, 2))
    assert roc(sure, unsure).auroc == 1
    assert roc(unsure, sure).auroc == 0
    ties = roc(sure, sure)
    assert ties.auroc == 0.5
    assert ties.false_positive_K.tolist() == ties.true_positive_K.tolist() == [0, 1]
    assert ties.true_positive_at(torch.tensor([0.3]).double()).item() == pytest.approx(0.3)


def test_what_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown uncertainty 'entropie'\. Did you mean 'entropy'"):
        roc(INSIDE, OUTSIDE, "entropie")
