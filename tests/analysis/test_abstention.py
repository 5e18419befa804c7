"""Abstention: exact bounds, slow twins, and the promises themselves, simulated."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from lora_ensemble import Predictions, abstain
from lora_ensemble.analysis import Abstention, cost_curve, risk_coverage
from lora_ensemble.errors import ConfigurationError, DataError, FileFormatError, UnknownNameError

BYS = ("total", "aleatoric", "epistemic", "msp")


def drawn(rows: int, seed: int = 0, members: int = 2) -> Predictions:
    """Labels from sharper probabilities than the pool's: the more certain, the more often right."""
    generator = torch.Generator().manual_seed(seed)
    logits_BC = 3 * torch.randn(rows, 3, generator=generator)
    noise_MBC = 0.3 * torch.randn(members, rows, 3, generator=generator)
    labels = torch.multinomial(torch.softmax(logits_BC, -1), 1, generator=generator).squeeze(1)
    return Predictions(logits_BC + noise_MBC, labels)


def slow_threshold(p: Predictions, risk: float, delta: float) -> float | None:
    """The sequences, one test at a time, rows without equals."""
    order = p.total_B.double().argsort()
    wrong = (p.pooled_probs().argmax(1) != p.labels_B)[order].tolist()
    starts: list[int] = []
    while True:
        kept = math.ceil(len(p) / 2 ** len(starts))
        if kept in starts or (1 - risk) ** kept > delta / (len(starts) + 1):
            break
        starts.append(kept)
    best = 0
    for start in starts:
        kept = start
        while kept <= len(p) and binom.cdf(sum(wrong[:kept]), kept, risk) <= delta / len(starts):
            best = max(best, kept)
            kept += 1
    return float(p.total_B.double()[order][best - 1]) if best else None


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(20, 300), risk=st.floats(0.02, 0.6), seed=st.integers(0, 500))
def test_the_threshold_is_the_highest_that_a_sequence_reaches(rows: int, risk: float, seed: int) -> None:
    p = drawn(rows, seed)
    expected = slow_threshold(p, risk, 0.1)
    if expected is None:
        with pytest.raises(DataError, match="the best is"):
            abstain(p, risk, 0.9)
    else:
        fitted = abstain(p, risk, 0.9)
        assert fitted.threshold == expected
        assert fitted.kept == int(fitted(p).keep_B.sum())
        assert fitted.risk_bound <= risk


def test_the_risk_promise_holds_2000_times() -> None:
    """The risk of the kept rows, on 200,000 others, is above the target in at most 1 - confidence of the cases."""
    risk, confidence, times = 0.1, 0.9, 2000
    curve = risk_coverage(drawn(200_000, 10_000), "entropy")
    sorted_B = drawn(200_000, 10_000).total_B.double().sort().values
    violated = infeasible = 0
    for seed in range(times):
        try:
            threshold = abstain(drawn(200, seed), risk, confidence).threshold
        except DataError:
            infeasible += 1
            continue
        kept = int(torch.searchsorted(sorted_B, threshold, right=True))
        violated += float(curve.risk_B[kept - 1]) > risk + 0.001 if kept else False
    assert infeasible < times / 2
    assert violated <= binom.ppf(1 - 1e-4, times, 1 - confidence)


def test_the_coverage_promise_holds_2000_times() -> None:
    coverage, confidence, times = 0.7, 0.9, 2000
    sorted_B = drawn(200_000, 10_000).total_B.double().sort().values
    below = 0
    for seed in range(times):
        threshold = abstain(drawn(100, seed), None, confidence, coverage=coverage).threshold
        below += int(torch.searchsorted(sorted_B, threshold, right=True)) / 200_000 < coverage - 0.003
    assert binom.ppf(1e-4, times, 0.03) <= below <= binom.ppf(1 - 1e-4, times, 1 - confidence)


@pytest.mark.parametrize("by", BYS)
def test_any_uncertainty_and_what_is_kept(by: str, tmp_path: Path) -> None:
    p, test = drawn(800), drawn(800, 1)
    fitted = abstain(p, 0.15, by=by)
    kept = fitted(test)
    assert torch.equal(kept.keep_B, kept.uncertainty_B <= fitted.threshold)
    assert kept.coverage.value == pytest.approx(float(kept.keep_B.double().mean()))
    wrong = int(((test.pooled_probs().argmax(1) != test.labels_B) & kept.keep_B).sum())
    assert kept.risk.value == pytest.approx(wrong / int(kept.keep_B.sum()))
    fitted.save(tmp_path / "abstain.json")
    assert Abstention.load(tmp_path / "abstain.json") == fitted
    (tmp_path / "abstain.json").write_text(fitted.to_json().replace('"wrong": ', '"wrong": 1'))
    with pytest.raises(FileFormatError, match="was changed"):
        Abstention.load(tmp_path / "abstain.json")


def test_what_is_equally_uncertain_is_kept_or_withheld_together() -> None:
    labels = torch.tensor([0] * 100 + [1] * 20)
    p = Predictions(torch.tensor([[2.0, 0.0]]).expand(1, 120, 2), labels)
    assert abstain(p, 0.3).kept == 120
    with pytest.raises(DataError, match=r"the best is 0\.25"):
        abstain(p, 0.2)


def test_an_early_error_does_not_end_it() -> None:
    """The most certain row is wrong: sequences that begin later do not notice."""
    p = drawn(400)
    first = int(p.total_B.argmin())
    labels = p.labels_B.clone()
    labels[first] = (p.pooled_probs()[first].argmax() + 1) % 3
    assert abstain(Predictions(p.logits_MBC, labels), 0.2).kept > 100


def test_a_cost_curve_is_the_sum_of_what_is_paid() -> None:
    p = drawn(60)
    curve = cost_curve(p, wrong=10, person=1)
    wrong_B = p.pooled_probs().argmax(1) != p.labels_B
    for threshold, coverage, cost in zip(curve.threshold_G, curve.coverage_G, curve.cost_G, strict=True):
        keep_B = p.total_B.double() <= threshold
        assert float(cost) == pytest.approx((10 * int((keep_B & wrong_B).sum()) + int((~keep_B).sum())) / 60)
        assert float(coverage) == pytest.approx(float(keep_B.double().mean()))
    assert (float(curve.coverage_G[0]), float(curve.cost_G[0])) == (0, 1)
    assert curve.best[2] == float(curve.cost_G.min())
    assert cost_curve(p, wrong=1, person=100).best[1] == 1


def test_what_cannot_be_promised_says_what_can() -> None:
    few = drawn(20)
    with pytest.raises(
        DataError, match=r"20 validation rows cannot promise a risk of 0.01 .* the best is 0\.\d+, which"
    ):
        abstain(few, 0.01)
    with pytest.raises(DataError) as told:
        abstain(few, 0.01)
    best = float(str(told.value).split("the best is ")[1].split(",")[0])
    assert abstain(few, best).kept >= 1
    with pytest.raises(DataError, match=r"cannot promise a coverage of 0.99 .* the best is 0\.86"):
        abstain(few, coverage=0.99)
    assert abstain(few, coverage=0.86).kept == 20


def test_what_is_refused() -> None:
    p = drawn(100)
    with pytest.raises(ConfigurationError, match="give one of them"):
        abstain(p, 0.1, coverage=0.5)
    for name, value in (("risk", 0.0), ("coverage", 1.0), ("confidence", 1.0), ("risk", math.nan)):
        with pytest.raises(ConfigurationError, match=f"{name} = {value}: must be between 0 and 1"):
            abstain(p, **{name: value})
    with pytest.raises(UnknownNameError, match="Did you mean 'total'"):
        abstain(p, by="totl")
    with pytest.raises(DataError, match="test split"):
        abstain(dataclasses.replace(p, meta={"split": "test"}))
    with pytest.raises(DataError, match="have none"):
        abstain(Predictions(p.logits_MBC))
    with pytest.raises(DataError, match="fitted on 2 members"):
        abstain(p, 0.3)(p.members([0]))
    with pytest.raises(DataError, match="by labels"):
        abstain(p, 0.3)(Predictions(p.logits_MBC)).risk  # noqa: B018
    with pytest.raises(ConfigurationError, match="wrong = -1"):
        cost_curve(p, wrong=-1)
    with pytest.raises(DataError, match="needs labels"):
        cost_curve(Predictions(p.logits_MBC))
