"""Scores of predictions whose scores are known."""

from __future__ import annotations

import math

import pytest
import torch

from lora_ensemble.analysis.scoring import compute
from lora_ensemble.predictions import Predictions

CERTAIN = 1000.0


def scores(p: Predictions, ood: Predictions | None = None) -> dict[str, float]:
    rows = len(p) + (len(ood) if ood else 0)
    return {name: float(values) for name, values in compute(p, torch.ones(1, rows).double(), ood=ood).items()}


def certain(classes: list[list[int]], labels: list[int] | None = None, num_classes: int = 3) -> Predictions:
    """Members that are certain of a class, given for each member and sample."""
    one_hot_MBC = torch.nn.functional.one_hot(torch.tensor(classes), num_classes)
    return Predictions(CERTAIN * one_hot_MBC, None if labels is None else torch.tensor(labels))


def test_uniform_predictions() -> None:
    p = Predictions(torch.zeros(2, 4, 4), torch.tensor([0, 1, 2, 3]))
    found = scores(p)
    assert found["nll"] == pytest.approx(math.log(4))
    assert found["brier"] == pytest.approx(0.75**2 + 3 * 0.25**2)
    assert found["accuracy"] == found["recall_macro"] == 0.25
    assert found["precision_macro"] == pytest.approx(0.25 / 4)
    assert found["f1_macro"] == pytest.approx(0.4 / 4)
    assert found["ece_10"] == found["ece_15"] == pytest.approx(0)
    assert found["disagreement"] == found["divergence"] == found["epistemic"] == 0
    assert found["total"] == found["aleatoric"] == pytest.approx(math.log(4))
    # All are equally confident: every order counts, so the risk is 3/4 at every coverage.
    assert found["aurc"] == pytest.approx(0.75)


def test_perfect_and_certain_predictions() -> None:
    found = scores(certain([[0, 1, 2]] * 2, [0, 1, 2]))
    for name in ("nll", "brier", "ece_10", "ece_15", "aurc", "total", "aleatoric", "epistemic", "disagreement"):
        assert found[name] == 0, name
    for name in ("accuracy", "f1_macro", "precision_macro", "recall_macro"):
        assert found[name] == 1, name


def test_wrong_and_certain_predictions_stay_finite() -> None:
    found = scores(certain([[1, 1]], [0, 0]))
    assert found["nll"] == pytest.approx(300 * math.log(10))
    assert found["brier"] == 2
    assert found["ece_10"] == found["aurc"] == 1
    assert found["accuracy"] == found["f1_macro"] == 0


def test_members_that_disagree() -> None:
    # Sample 0: all agree. Sample 1: two against one, 2 of 3 pairs differ. Sample 2: all pairs differ.
    found = scores(certain([[0, 0, 0], [0, 0, 1], [0, 1, 2]]))
    assert found["disagreement"] == pytest.approx((0 + 2 / 3 + 1) / 3)
    one_of_three = -(1 / 3 * math.log(1 / 3) + 2 / 3 * math.log(2 / 3))
    assert found["epistemic"] == pytest.approx((0 + one_of_three + math.log(3)) / 3)
    assert found["divergence"] == pytest.approx((0 + 2 / 3 + 1) / 3 * CERTAIN)


def test_divergence_of_two_members() -> None:
    p, q = torch.tensor([0.7, 0.3]), torch.tensor([0.2, 0.8])
    symmetrised = 0.5 * float((p * (p / q).log()).sum() + (q * (q / p).log()).sum())
    once = Predictions(torch.stack([p, q]).log()[:, None])
    assert scores(once)["divergence"] == pytest.approx(symmetrised, rel=1e-6)
    # It does not grow with the number of samples.
    assert scores(Predictions(once.logits_MBC.expand(2, 50, 2)))["divergence"] == pytest.approx(symmetrised, rel=1e-6)


def test_one_member_has_no_pairs() -> None:
    found = scores(certain([[0, 1]], [0, 1]))
    assert math.isnan(found["disagreement"])
    assert math.isnan(found["divergence"])


def test_scores_that_need_labels_are_left_out() -> None:
    assert set(scores(certain([[0, 1]]))) == {
        *("disagreement", "divergence", "total", "aleatoric", "epistemic", "sharpness")
    }


def test_bins_are_closed_above() -> None:
    # Confidence exactly 1/2 belongs to (0.4, 0.5]; with the sample at 0.45 it makes one bin: |1/2 - 0.475|.
    logits = torch.tensor([[0, 0, -CERTAIN], [math.log(0.45), math.log(0.3), math.log(0.25)]])
    found = scores(Predictions(logits[None], torch.tensor([0, 1])))
    assert found["ece_10"] == pytest.approx(0.025, abs=1e-6)


def test_detection_of_a_set_apart() -> None:
    p, ood = certain([[0, 1, 2]] * 2), Predictions(torch.zeros(2, 4, 3))
    found = scores(p, ood)
    for name in ("msp", "entropy", "expected_entropy"):
        assert (found[f"auroc_{name}"], found[f"aupr_{name}"], found[f"fpr95_{name}"]) == (1, 1, 0)
    # No member ever disagrees: there is no mutual information to tell anything by.
    assert all(math.isnan(found[f"{measure}_mutual_information"]) for measure in ("auroc", "aupr", "fpr95"))


def test_confidence_near_one_is_not_rounded_away() -> None:
    # In float32 both have a largest probability of exactly 1.
    p, ood = Predictions(torch.tensor([[[40.0, 0.0]]])), Predictions(torch.tensor([[[30.0, 0.0]]]))
    assert scores(p, ood)["auroc_msp"] == 1
