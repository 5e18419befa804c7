"""Calibration and selective scores against slow, obvious twins and torchmetrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torchmetrics.functional.classification import multiclass_calibration_error

from lora_ensemble.analysis import risk_coverage
from lora_ensemble.analysis.scoring import compute
from lora_ensemble.predictions import Predictions

SEEDS = range(4)


def predictions(seed: int, rows: int = 150, num_classes: int = 7, digits: int = 6) -> Predictions:
    rng = np.random.default_rng(seed)
    shared = 2 * rng.normal(size=(1, rows, num_classes))
    logits = np.round(shared + rng.normal(size=(3, rows, num_classes)), digits)
    return Predictions(logits, np.where(rng.random(rows) < 0.6, logits[0].argmax(-1), rng.integers(7, size=rows)))


def scores(p: Predictions) -> dict[str, float]:
    return {name: float(value) for name, value in compute(p, torch.ones(1, len(p)).double()).items()}


def in_bins(values: np.ndarray) -> np.ndarray:
    """Number of the bin (k / 15, (k + 1) / 15]."""
    return np.ceil(values * 15).clip(1).astype(int) - 1


def arrays(p: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, confidence, whether right."""
    probs = p.pooled_probs().numpy()
    return probs, probs.max(-1), probs.argmax(-1) == p.labels_B.numpy()


@pytest.mark.parametrize("digits", [0, 6])
@pytest.mark.parametrize("seed", SEEDS)
def test_selective_scores_against_the_curve(seed: int, digits: int) -> None:
    p = predictions(seed, digits=digits)
    found, curve = scores(p), risk_coverage(p)
    kept = np.arange(1, len(p) + 1)
    assert found["aurc"] == pytest.approx(curve.aurc)
    assert found["augrc"] == pytest.approx(float((curve.risk_B.numpy() * kept / len(p)).mean()))
    best = np.sort(~arrays(p)[2]).cumsum() / kept
    assert found["e_aurc"] == pytest.approx(curve.aurc - best.mean())
    for c in (80, 90):
        assert found[f"risk_at_coverage_{c}"] == pytest.approx(curve.risk_at(c / 100))
    for r in (1, 5):
        assert found[f"coverage_at_risk_{r}"] == pytest.approx(curve.coverage_at(r / 100 + 1e-12))


@pytest.mark.parametrize("seed", SEEDS)
def test_mce_against_torchmetrics(seed: int) -> None:
    p = predictions(seed)
    expected = multiclass_calibration_error(p.pooled_probs(), p.labels_B, 7, n_bins=15, norm="max")
    assert scores(p)["mce"] == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_adaptive_ece_with_whole_bins(seed: int) -> None:
    p = predictions(seed)  # 150 samples, ten in each bin
    _, confidence, right = arrays(p)
    gaps = (right - confidence)[np.argsort(confidence)].reshape(15, 10).mean(1)
    assert scores(p)["ece_adaptive"] == pytest.approx(np.abs(gaps).mean())


def test_adaptive_ece_of_samples_on_the_edge_of_bins() -> None:
    # Each sample ten times: the same, though 14 samples do not fill 15 bins.
    p = predictions(0, rows=14)
    _, confidence, right = arrays(p)
    gaps = np.repeat((right - confidence)[np.argsort(confidence)], 15).reshape(15, 14).mean(1)
    assert scores(p)["ece_adaptive"] == pytest.approx(np.abs(gaps).mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_classwise_and_top_5(seed: int) -> None:
    p = predictions(seed)
    probs, labels = arrays(p)[0], p.labels_B.numpy()
    per_class = []
    for c in range(7):
        gap, place = (labels == c) - probs[:, c], in_bins(probs[:, c])
        per_class.append(sum(abs(gap[place == k].sum()) for k in range(15)) / len(p))
    assert scores(p)["ece_classwise"] == pytest.approx(np.mean(per_class))
    top = np.argsort(-probs)[:, :5]
    inside = (top == labels[:, None]).any(1) - np.take_along_axis(probs, top, 1).sum(1)
    place = in_bins(np.take_along_axis(probs, top, 1).sum(1))
    expected = sum(abs(inside[place == k].sum()) for k in range(15)) / len(p)
    assert scores(p)["ece_top_5"] == pytest.approx(expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_brier_in_parts(seed: int) -> None:
    p = predictions(seed)
    probs, labels, found = arrays(p)[0], p.labels_B.numpy(), scores(p)
    reliability = resolution = uncertainty = within = 0.0
    for c in range(7):
        target, place = (labels == c).astype(float), in_bins(probs[:, c])
        uncertainty += target.mean() * (1 - target.mean())
        for k in np.unique(place):
            q, y = probs[place == k, c], target[place == k]
            reliability += (q.mean() - y.mean()) ** 2 * len(q) / len(p)
            resolution += (y.mean() - target.mean()) ** 2 * len(q) / len(p)
            within += (((q - q.mean()) ** 2).sum() - 2 * ((q - q.mean()) * (y - y.mean())).sum()) / len(p)
    assert found["brier_reliability"] == pytest.approx(reliability)
    assert found["brier_resolution"] == pytest.approx(resolution)
    assert found["brier_uncertainty"] == pytest.approx(uncertainty)
    assert found["brier"] == pytest.approx(reliability - resolution + uncertainty + within)


@pytest.mark.parametrize("seed", SEEDS)
def test_smooth_ece_against_quadrature(seed: int) -> None:
    p = predictions(seed)
    _, confidence, right = arrays(p)
    at = (np.arange(2000) + 0.5) / 2000

    def smoothed(width: float) -> float:
        images = [2 * k + sign * confidence for k in range(-2, 3) for sign in (1, -1)]
        kernel = sum(stats.norm.pdf(at[:, None], image, width) for image in images)
        return float(np.abs(kernel @ (right - confidence)).mean() / len(p))

    found = scores(p)["smooth_ece"]
    assert smoothed(found) == pytest.approx(found, abs=2e-3)


def test_calibration_test_is_uniform_where_confidence_is_right_and_small_where_not() -> None:
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(200):
        probs_BC = torch.softmax(2 * torch.randn(400, 4, generator=generator), -1)
        labels_B = probs_BC.multinomial(1, generator=generator).squeeze(1)
        values.append(scores(Predictions.from_probs(probs_BC, labels_B))["calibration_p"])
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    sure = Predictions(5 * probs_BC.log()[None], labels_B)
    assert scores(sure)["calibration_p"] < 1e-6


def test_right_and_wrong_answers() -> None:
    p = predictions(0)
    found, right = scores(p), torch.from_numpy(arrays(p)[2])
    assert found["total_right"] == pytest.approx(float(p.total_B[right].mean()))
    assert found["epistemic_wrong"] == pytest.approx(float(p.epistemic_B[~right].mean()))
    all_right = p.rows(right)
    assert math.isnan(scores(all_right)["total_wrong"])
    assert scores(all_right)["e_aurc"] == 0
    assert scores(all_right)["coverage_at_risk_1"] == 1


def test_sharpness() -> None:
    p = predictions(0)
    assert scores(p)["sharpness"] == pytest.approx(float(p.pooled_probs().square().sum(1).mean()))
