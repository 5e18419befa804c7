"""Adaptive prediction: the rule against a slow twin, its promises, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_ensemble.analysis.adaptive import Adaptive, filled, fit_adaptive, stages, tried
from lora_ensemble.analysis.calibration import calibrate
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.fitted import Source
from lora_ensemble.predictions import Predictions


def drawn(members: int = 8, rows: int = 400, classes: int = 4, seed: int = 0, noise: float = 1.0) -> Predictions:
    """Members that share what they know, and differ by noise; labels follow what they share."""
    generator = torch.Generator().manual_seed(seed)
    shared_BC = 2 * torch.randn(rows, classes, generator=generator)
    labels_B = torch.distributions.Categorical(logits=shared_BC).probs.multinomial(1, generator=generator)[:, 0]
    own_MBC = noise * torch.randn(members, rows, classes, generator=generator)
    return Predictions(shared_BC + own_MBC, labels_B, meta={"split": "validation"})


def slow_asked(logits_MC: np.ndarray, margin: float) -> int:
    """One row, member after member."""
    members = len(logits_MC)
    probs = [np.exp(z - z.max()) / np.exp(z - z.max()).sum() for z in logits_MC.astype(float)]
    for k in (1, 2, 3, 4, 6, 8):
        if k >= members:
            break
        mean = sum(probs[:k]) / k
        first, second = np.argsort(-mean, kind="stable")[:2]
        gaps = [p[first] - p[second] for p in probs[:k]]
        error = 0.0 if k == 1 else np.std(gaps, ddof=1) / k**0.5
        if np.mean(gaps) - error >= margin or sum(gaps) > members - k:
            return k
    return members


@settings(max_examples=25)
@given(st.integers(2, 9), st.integers(2, 5), st.integers(0, 10**6), st.sampled_from([0.0, 0.13, 0.5, 0.87, 1.0]))
def test_the_rule_is_that_of_the_slow_twin(members: int, classes: int, seed: int, margin: float) -> None:
    p = drawn(members, 20, classes, seed)
    rule = Adaptive(Source.of(p), margin)
    expected = [slow_asked(p.logits_MBC[:, b].numpy(), margin) for b in range(20)]
    assert rule.asked(p.logits_MBC).tolist() == expected
    again = rule.filled(p)
    assert torch.equal(rule.asked(again.logits_MBC), rule.asked(p.logits_MBC))  # members not asked are not looked at
    for b, k in enumerate(expected):
        assert torch.equal(again.logits_MBC[:, b], p.logits_MBC[[m % k for m in range(members)], b])


def test_what_cannot_change_stops_and_does_not_change() -> None:
    """At the strictest margin, rows stop early only where the rest of the members cannot turn the answer."""
    p = drawn(noise=0.1)
    strictest = tried(Source.of(p), p)[0]
    asked_B = strictest.asked(p.logits_MBC)
    assert (asked_B < 8).any()
    assert torch.equal(strictest.filled(p).pooled_probs().argmax(1), p.pooled_probs().argmax(1))
    assert strictest.accuracy_lost == 0


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_budget_is_kept_and_more_of_it_loses_no_more(calibrated: bool) -> None:
    p = drawn(rows=1000)
    calibration = calibrate(p) if calibrated else None
    for budget in (1.5, 2.0, 4.0):
        rule = fit_adaptive(p, budget=budget, calibration=calibration)
        assert rule.cost <= budget
        assert rule.cost == rule.asked(p.logits_MBC).double().mean()
    costs = [rule.cost for rule in tried(Source.of(p), p)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < 1.5
    assert fit_adaptive(p, budget=8).cost > 4  # the strictest margin


def test_a_bound_on_the_loss_holds_on_fresh_rows() -> None:
    """In at least 95 % of 25 draws, less five standard deviations of such a count."""
    kept = 0
    for seed in range(25):
        validation, test = drawn(4, 500, seed=seed), drawn(4, 2000, seed=1000 + seed)
        rule = fit_adaptive(validation, max_loss=0.03)
        assert rule.accuracy_bound <= 0.03
        assert rule.cost < 4
        right_B = test.pooled_probs().argmax(1) == test.labels_B
        own_B = rule.filled(test).pooled_probs().argmax(1) == test.labels_B
        kept += float((right_B & ~own_B).double().mean()) <= 0.03
    assert kept >= 23.75 - 5 * (25 * 0.95 * 0.05) ** 0.5


def test_it_is_kept_on_disk(tmp_path: object) -> None:
    rule = fit_adaptive(drawn(), budget=2)
    path = f"{tmp_path}/adaptive.json"
    rule.save(path)
    assert Adaptive.load(path) == rule
    assert "of 8 members asked" in rule.words


def test_stages() -> None:
    assert (stages(1), stages(2), stages(6), stages(16)) == ([1], [1, 2], [1, 2, 3, 4, 6], [1, 2, 3, 4, 6, 8, 12, 16])
    logits = torch.arange(5.0)[:, None, None].expand(5, 3, 2)
    assert filled(logits, torch.tensor([1, 2, 5]))[:, :, 0].T.tolist() == [[0] * 5, [0, 1, 0, 1, 0], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give one of them"),
        ({"budget": 2, "max_loss": 0.1}, "give one of them"),
        ({"budget": 0.5}, "budget = 0.5: must be at least 1 member"),
        ({"budget": float("nan")}, "budget = nan"),
        ({"max_loss": 0.0}, "max_loss = 0.0: must be above 0"),
        ({"max_loss": 1.5}, "max_loss = 1.5: must be above 0"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        fit_adaptive(drawn(rows=10), **options)


def test_what_cannot_be_promised_is_said() -> None:
    with pytest.raises(DataError, match=r"40 validation rows cannot promise .* 0\.002 .* the bound is 0\.07"):
        fit_adaptive(drawn(rows=40), max_loss=0.002)
    with pytest.raises(DataError, match="this ensemble has one"):
        fit_adaptive(drawn(members=1), budget=1.5)
