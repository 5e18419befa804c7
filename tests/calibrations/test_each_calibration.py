"""What is special to each calibration, against slow twins and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from made_predictions import calibrated_pool
from torch.testing import assert_close

from lora_ensemble import Predictions, calibrate
from lora_ensemble.analysis import compare_calibrations, cross_fitted, evaluate, fit_temperature, learned_members
from lora_ensemble.errors import ConfigurationError, DataError, UnknownNameError
from lora_ensemble.recalibration.pool import nll


def underconfident(rows: int = 1500, seed: int = 0, members: int = 4) -> Predictions:
    """Members that each add noise to what is certain: their mean is less sure than it should be."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (rows,), generator=generator)
    signal = 2.5 * torch.nn.functional.one_hot(labels, 3)
    return Predictions(signal + 2 * torch.randn(members, rows, 3, generator=generator), labels)


def test_temperature_is_one_on_members_then_one_on_the_pool() -> None:
    p = underconfident()
    found = calibrate(p)
    assert found.temperature == pytest.approx(fit_temperature(p).temperatures[0], rel=1e-3)
    alone = nll(fit_temperature(p)(p).pooled_probs(), p.labels_B)
    after = nll(found(p).pooled_probs(), p.labels_B)
    assert after <= alone
    best = min(
        nll(torch.softmax(fit_temperature(p)(p).pooled_probs().log() / math.exp(k / 100), 1), p.labels_B)
        for k in range(-200, 201)
    )
    assert after == pytest.approx(best, abs=1e-4)


def test_the_pool_of_calibrated_members_needs_a_temperature_of_its_own() -> None:
    p = underconfident()
    found = calibrate(p, "temperature-per-member")
    each = fit_temperature(p, per_member=True)
    assert found.temperatures == pytest.approx(each.temperatures, rel=1e-3)
    assert found.pool_temperature < 0.9
    test = underconfident(seed=1)
    assert evaluate(found(test), intervals=False)["ece_15"] < evaluate(each(test), intervals=False)["ece_15"] - 0.02


def test_isotonic_is_what_pooling_of_violators_gives() -> None:
    p = calibrated_pool(120, classes=2)
    fitted = calibrate(p, "isotonic")
    probs, is_1 = p.pooled_probs()[:, 1].numpy(), (p.labels_B == 1).double().numpy()
    order = np.argsort(probs)
    blocks = [[value] for value in is_1[order]]
    k = 0
    while k + 1 < len(blocks):  # the definition: join neighbours that fall, until none does
        if np.mean(blocks[k]) > np.mean(blocks[k + 1]):
            blocks[k : k + 2] = [blocks[k] + blocks[k + 1]]
            k = max(k - 1, 0)
        else:
            k += 1
    slow = np.concatenate([[np.mean(block)] * len(block) for block in blocks])
    assert np.allclose(np.interp(probs[order], fitted.positions[1], fitted.values[1]), slow)


def test_histogram_holds_the_share_of_the_class_in_each_bin() -> None:
    p = calibrated_pool(300, classes=2)
    fitted = calibrate(p, "histogram")
    probs, is_1 = p.pooled_probs()[:, 1], (p.labels_B == 1).double()
    edges = [-1.0, *fitted.edges[1], 2.0]
    for low, high, value in zip(edges, edges[1:], fitted.values[1], strict=False):
        inside = (probs > low) & (probs <= high)
        assert 19 <= int(inside.sum()) <= 21
        assert value == pytest.approx(float((is_1[inside].sum() + probs[inside].mean()) / (inside.sum() + 1)))


def test_beta_falls_back_to_the_identity_without_evidence() -> None:
    p = calibrated_pool(500)
    few = calibrate(p.rows([0]), "beta")
    assert_close(torch.tensor(few.parameters), torch.tensor([[1.0, 1.0, 0.0]] * 4), atol=1.0, rtol=0)
    absent = calibrate(p.rows(p.labels_B != 3), "beta")
    assert absent.parameters[3] == (1.0, 1.0, 0.0)


def test_members_that_know_nothing_get_no_weight() -> None:
    p, test = underconfident(), underconfident(seed=1)
    noise = torch.randn(2, 1500, 3, generator=torch.Generator().manual_seed(7))
    fitted = calibrate(Predictions(torch.cat([p.logits_MBC, noise]), p.labels_B), "member-weights")
    assert sum(fitted.weights) == pytest.approx(1)
    assert max(fitted.weights[4:]) < 0.02
    with_noise = Predictions(torch.cat([test.logits_MBC, noise]), test.labels_B)
    assert (
        nll(fitted(with_noise).pooled_probs(), test.labels_B)
        < nll(calibrate(p)(with_noise.members(slice(4))).pooled_probs(), test.labels_B) + 0.2
    )


def test_weights_are_those_of_the_highest_likelihood() -> None:
    """Two members: the likelihood, with its prior rows, on a grid."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(3, (400,), generator=generator)
    hot = torch.nn.functional.one_hot(labels, 3)
    p = Predictions(
        torch.stack(
            [hot * 2 + torch.randn(400, 3, generator=generator), hot + 2 * torch.randn(400, 3, generator=generator)]
        ),
        labels,
    )
    label_probs_MB = p.probs_MBC.double()[:, range(400), labels]

    def posterior(w: float) -> float:
        return float((w * label_probs_MB[0] + (1 - w) * label_probs_MB[1]).log().sum()) + math.log(w) + math.log(1 - w)

    best = max((k / 1000 for k in range(1, 1000)), key=posterior)
    assert calibrate(p, "member-weights").weights[0] == pytest.approx(best, abs=2e-3)


def test_members_that_failed_are_named() -> None:
    p = underconfident(200)
    noise = torch.randn(2, 200, 3, generator=torch.Generator().manual_seed(7))
    assert learned_members(Predictions(torch.cat([noise, p.logits_MBC]), p.labels_B)) == (2, 3, 4, 5)
    with pytest.raises(DataError, match="no member is better on 200 validation rows"):
        learned_members(Predictions(noise, p.labels_B))
    with pytest.raises(ConfigurationError, match="confidence = 2"):
        learned_members(p, confidence=2)


def test_cross_fitting_fits_without_the_row() -> None:
    p = calibrated_pool(40)
    found = cross_fitted(p, "vector", folds=40)
    assert found.meta["calibrated"] == ["vector"]
    for b in (0, 7, 39):
        others = [k for k in range(40) if k != b]
        alone = calibrate(p.rows(others), "vector")(p.rows([b]))
        assert_close(found.rows([b]).logits_MBC, alone.logits_MBC)
    with pytest.raises(DataError, match="at least two rows"):
        cross_fitted(p.rows([0]), "vector")


def test_the_best_is_chosen_by_a_proper_score() -> None:
    raw = calibrated_pool(800)
    assert calibrate(raw, "best")(raw).logits_MBC.shape == raw.logits_MBC.shape
    p = Predictions(3 * raw.logits_MBC, raw.labels_B)
    for score in ("nll", "brier"):
        found = compare_calibrations(p, score=score)
        assert calibrate(p, "best", score=score).name == min(found, key=found.__getitem__) != "raw"
    assert list(compare_calibrations(p, ["vector", "temperature"])) == ["raw", "temperature", "vector"]
    with pytest.raises(UnknownNameError, match="proper score 'ece'"):
        compare_calibrations(p, score="ece")
