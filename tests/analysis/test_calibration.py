"""Temperature scaling finds the temperature that labels were drawn with."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from lora_ensemble.analysis import Temperature, evaluate, fit_temperature
from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions


def drawn(temperatures: list[float], rows: int = 3000) -> Predictions:
    """Members whose logits are too large by a factor each; labels are drawn from the unscaled distribution."""
    generator = torch.Generator().manual_seed(0)
    logits_BC = 2 * torch.randn(rows, 4, generator=generator)
    labels = torch.multinomial(torch.softmax(logits_BC, -1), 1, generator=generator).squeeze(1)
    return Predictions(torch.tensor(temperatures)[:, None, None] * logits_BC, labels)


def slow_nll(p: Predictions, temperature: float) -> float:
    probs_MBC = torch.softmax(p.logits_MBC.double() / temperature, -1)
    return float(-probs_MBC.mean(0)[range(len(p)), p.labels_B].log().mean())


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_finds_the_temperature(temperature: float) -> None:
    p = drawn([temperature])
    found = fit_temperature(p)
    assert found.temperatures[0] == pytest.approx(temperature, rel=0.06)
    assert evaluate(found(p), intervals=False)["ece_15"] < 0.03
    scaled = fit_temperature(Predictions(3 * p.logits_MBC, p.labels_B))
    assert scaled.temperatures[0] == pytest.approx(3 * found.temperatures[0], rel=1e-3)


def test_one_temperature_per_member() -> None:
    p = drawn([0.5, 2.0, 4.0])
    found = fit_temperature(p, per_member=True)
    assert found.temperatures == pytest.approx((0.5, 2.0, 4.0), rel=0.06)
    calibrated = found(p)
    assert_close(calibrated.logits_MBC[0], calibrated.logits_MBC[2], rtol=0.1, atol=0.1)
    for m in range(3):
        assert found.temperatures[m] == pytest.approx(fit_temperature(p.members([m])).temperatures[0])


def test_pooled_temperature_is_the_minimum_for_the_ensemble() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (400,), generator=generator)
    signal = 2 * torch.nn.functional.one_hot(labels, 3)
    p = Predictions(signal + 3 * torch.randn(4, 400, 3, generator=generator), labels)
    (found,) = fit_temperature(p).temperatures
    best = min((math.exp(k / 200) for k in range(-400, 401)), key=lambda t: slow_nll(p, t))
    assert found == pytest.approx(best, rel=0.01)
    assert slow_nll(p, found) < slow_nll(p, 1.0)
    assert evaluate(fit_temperature(p)(p), intervals=False)["nll"] == pytest.approx(slow_nll(p, found), abs=1e-6)


def test_without_an_error_nothing_is_fitted() -> None:
    second = drawn([1.0])
    right = 2 * torch.nn.functional.one_hot(second.labels_B, second.num_classes).float()
    with pytest.warns(UserWarning, match="validation samples fit no temperature .they are all predicted right"):
        assert fit_temperature(Predictions(right[None], second.labels_B)).temperatures == (1.0,)
    both = Predictions(torch.stack([right, second.logits_MBC[0]]), second.labels_B)
    with pytest.warns(UserWarning, match="predicted right"):
        found = fit_temperature(both, per_member=True).temperatures
    assert found == (1.0, fit_temperature(second).temperatures[0])


def test_all_right_and_yet_a_temperature_is_best() -> None:
    """Members that are each wrong now and then, though never together: certainty of the pool has its price."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (200,), generator=generator)
    p = Predictions(2 * torch.nn.functional.one_hot(labels, 3) + torch.randn(8, 200, 3, generator=generator), labels)
    assert bool((p.mean_probs_BC.argmax(1) == labels).all())
    (found,) = fit_temperature(p).temperatures
    best = min((math.exp(k / 100) for k in range(-460, 461)), key=lambda t: slow_nll(p, t))
    assert 0.01 < found < 0.9
    assert found == pytest.approx(best, rel=0.02)


def test_a_temperature_at_the_lower_end_is_none() -> None:
    """Wrong together, and each right where the other is not: the likelihood is best at 0."""
    first = torch.tensor([[9.0, 0.0, -5.0], [1.0, 0.0, -5.0]])
    p = Predictions(torch.stack([first, first.flip(0)[:, [1, 0, 2]]]), torch.tensor([1, 0]))
    assert not bool((p.mean_probs_BC.argmax(1) == p.labels_B).all())
    with pytest.warns(UserWarning, match="the nearer to 0, the better"):
        assert fit_temperature(p).temperatures == (1.0,)


def test_what_is_always_wrong_becomes_uniform() -> None:
    labels = torch.tensor([0, 1, 2, 0])
    found = fit_temperature(Predictions(-5 * torch.nn.functional.one_hot(labels, 3).float()[None], labels))
    assert found.temperatures[0] == pytest.approx(100, rel=0.01)


def test_transforms_other_predictions_and_keeps_what_belongs_to_them() -> None:
    test = Predictions(torch.randn(2, 3, 4), torch.tensor([0, 1, 2]), list("abc"), {"split": "test"})
    calibrated = Temperature((2.0,))(test)
    assert torch.equal(calibrated.logits_MBC, test.logits_MBC / 2)
    assert torch.equal(calibrated.labels_B, test.labels_B)
    assert (calibrated.ids, calibrated.meta) == (test.ids, test.meta)


def test_what_is_refused() -> None:
    p = drawn([1.0, 1.0], rows=10)
    with pytest.raises(DataError, match="have none"):
        fit_temperature(Predictions(p.logits_MBC))
    with pytest.raises(DataError, match="predictions of the test split"):
        fit_temperature(Predictions(p.logits_MBC, p.labels_B, meta={"split": "test"}))
    with pytest.raises(DataError, match="3 temperatures for 2 members"):
        Temperature((1.0, 2.0, 3.0))(p)
    with pytest.raises(DataError, match="expected positive numbers"):
        Temperature((0.0,))
