"""Intervals against closed forms, and how often they hold the truth."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from lora_ensemble.analysis.bootstrap import interval, resample_counts
from lora_ensemble.analysis.evaluation import evaluate
from lora_ensemble.analysis.scoring import compute
from lora_ensemble.metrics import detection
from lora_ensemble.predictions import Predictions


def with_accuracy(correct_B: torch.Tensor) -> Predictions:
    """One member that says class 0; right where told."""
    return Predictions(torch.tensor([2.0, 0.0]).expand(1, len(correct_B), 2), (~correct_B).long())


def test_counts_are_resamples() -> None:
    # 2**22 / 3000 rows are drawn at a time: three parts here.
    counts = resample_counts(3000, 3000, torch.Generator().manual_seed(0))
    assert torch.equal(counts.sum(1), torch.full((3000,), 3000))
    # Each count is Binomial(3000, 1/3000), close to Poisson(1).
    expected = stats.binom.pmf(range(4), 3000, 1 / 3000)
    for k in range(4):
        assert float((counts == k).double().mean()) == pytest.approx(expected[k], abs=1e-3)
    # Neighbours are as good as independent: samples do not leak into other resamples.
    assert float(torch.corrcoef(counts[:, :2].T.double())[0, 1]) == pytest.approx(0, abs=0.08)


def test_accuracy_interval_is_binomial() -> None:
    n, right = 400, 320
    p = with_accuracy(torch.arange(n) < right)
    low, high = evaluate(p, resamples=4000).interval("accuracy")
    expected_low, expected_high = stats.binom.ppf([0.025, 0.975], n, right / n) / n
    assert low == pytest.approx(expected_low, abs=1.5 / n)
    assert high == pytest.approx(expected_high, abs=1.5 / n)
    counts = resample_counts(n, 4000, torch.Generator().manual_seed(1)).double()
    drawn = compute(p, counts, names=["accuracy"])["accuracy"]
    assert float(drawn.std()) == pytest.approx(math.sqrt(0.8 * 0.2 / n), rel=0.05)


def test_accuracy_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    generator = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(400):
        p = with_accuracy(torch.rand(200, generator=generator) < 0.7)
        counts = resample_counts(200, 300, generator).double()
        low, high = interval(compute(p, counts, names=["accuracy"])["accuracy"])
        held += low <= 0.7 <= high
    assert 0.91 <= held / 400 <= 0.98


def test_auroc_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    # Scores N(0, 1) in distribution, N(1, 1) out of it: AUROC = Phi(1 / sqrt 2).
    truth = stats.norm.cdf(1 / math.sqrt(2))
    generator = torch.Generator().manual_seed(0)
    ood_B = torch.arange(160) >= 100
    held = 0
    for _ in range(300):
        score_B = torch.randn(160, generator=generator) + ood_B
        counts = torch.cat([resample_counts(size, 300, generator) for size in (100, 60)], 1)
        values = detection.score(detection.prepare(score_B.double(), ood_B), counts.float())["auroc"]
        low, high = interval(values)
        held += low <= truth <= high
    assert 0.90 <= held / 300 <= 0.98


def test_interval_shrinks_with_the_root_of_the_samples() -> None:
    widths = []
    for n in (250, 4000):
        low, high = evaluate(with_accuracy(torch.arange(n) % 4 > 0), seed=1).interval("accuracy")
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.15)
