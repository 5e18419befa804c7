"""The risk-coverage curve by hand, and against the score `aurc`."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from lora_ensemble.analysis import evaluate, risk_coverage
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.predictions import Predictions


def predictions(rows: int = 200, digits: int = 6) -> Predictions:
    generator = torch.Generator().manual_seed(0)
    logits = torch.round(torch.randn(3, rows, 4, generator=generator), decimals=digits)
    return Predictions(logits, torch.randint(4, (rows,), generator=generator))


def confident(probs: list[float], wrong: list[bool]) -> Predictions:
    probs_BC = torch.tensor([[q, 1 - q] for q in probs])
    return Predictions(probs_BC.log()[None], torch.tensor(wrong).long())


def test_curve_by_hand() -> None:
    curve = risk_coverage(confident([0.6, 0.9, 0.8, 0.7], [True, False, True, False]))
    assert_close(curve.coverage_B, torch.tensor([0.25, 0.5, 0.75, 1.0]).double())
    assert_close(curve.risk_B, torch.tensor([0, 1 / 2, 1 / 3, 1 / 2]).double())
    assert curve.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert curve.risk_at(0.5) == curve.risk_at(0.26) == pytest.approx(1 / 2)
    assert curve.risk_at(1.0) == pytest.approx(1 / 2)
    assert curve.coverage_at(0.4) == 0.75
    assert curve.coverage_at(0.0) == 0.25


def test_equally_confident_samples_share_their_risk() -> None:
    curve = risk_coverage(confident([0.8, 0.8, 0.9], [True, False, False]))
    assert_close(curve.risk_B, torch.tensor([0, 0.5 / 2, 1 / 3]).double())


@pytest.mark.parametrize("digits", [0, 6])
def test_area_is_the_score(digits: int) -> None:
    p = predictions(digits=digits)
    assert risk_coverage(p).aurc == pytest.approx(evaluate(p, intervals=False)["aurc"])


def test_other_uncertainties_rank_differently_but_end_at_the_error_rate() -> None:
    p = predictions()
    curves = [risk_coverage(p, by=by) for by in ("msp", "entropy", "mutual_information", "expected_entropy")]
    for curve in curves:
        assert float(curve.risk_B[-1]) == pytest.approx(1 - evaluate(p, intervals=False)["accuracy"])
    assert len({curve.aurc for curve in curves}) == 4


def test_no_coverage_is_safe_when_the_most_certain_sample_is_wrong() -> None:
    assert risk_coverage(confident([0.9, 0.8], [True, True])).coverage_at(0.5) == 0


def test_what_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown uncertainty 'entropi'\. Did you mean"):
        risk_coverage(predictions(), by="entropi")
    with pytest.raises(DataError, match="needs labels"):
        risk_coverage(Predictions(torch.zeros(1, 2, 3)))
    with pytest.raises(DataError, match=r"coverage 1\.5 is out of range"):
        risk_coverage(predictions()).risk_at(1.5)
