"""evaluate: what it returns, and for which predictions."""

from __future__ import annotations

import math

import pytest
import torch

from lora_ensemble.analysis import evaluate
from lora_ensemble.errors import ConfigurationError, DataError, UnknownNameError
from lora_ensemble.predictions import Predictions

NAMES = {
    *("accuracy", "nll", "brier", "ece_10", "ece_15", "aurc", "f1_macro", "precision_macro", "recall_macro"),
    *("disagreement", "divergence", "total", "aleatoric", "epistemic", "sharpness"),
    *("e_aurc", "augrc", "risk_at_coverage_80", "risk_at_coverage_90", "coverage_at_risk_1", "coverage_at_risk_5"),
    *("mce", "ece_top_5", "ece_adaptive", "ece_classwise", "smooth_ece", "calibration_p"),
    *("brier_reliability", "brier_resolution", "brier_uncertainty", "nll_pairs"),
    *(f"{part}_{outcome}" for part in ("total", "aleatoric", "epistemic") for outcome in ("right", "wrong")),
}


def predictions(seed: int = 0, members: int = 3, rows: int = 50, num_classes: int = 4, **kwargs) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(num_classes, (rows,), generator=generator)
    logits = torch.randn(members, rows, num_classes, generator=generator)
    logits += 1.5 * torch.nn.functional.one_hot(labels, num_classes)
    return Predictions(logits, **{"labels_B": labels, **kwargs})


def test_names_values_and_intervals() -> None:
    p = predictions()
    scores = evaluate(p, resamples=200)
    assert set(scores) == NAMES
    assert scores["accuracy"] == float((p.mean_probs_BC.argmax(-1) == p.labels_B).double().mean())
    assert scores["epistemic"] == pytest.approx(float(p.epistemic_B.mean()))
    for name, value in scores.items():
        low, high = scores.interval(name)
        assert low < high, name
        # The bootstrap of ECE and divergence is biased upwards, but not as far as this.
        assert low - 0.1 <= value <= high + 0.1, name
    assert scores.about == {
        "members": 3,
        "samples": 50,
        "pooling": "mean-of-probabilities",
        "resamples": 200,
        "seed": 0,
    }


def test_the_same_seed_gives_the_same_intervals() -> None:
    first, again, other = (evaluate(predictions(), resamples=50, seed=seed) for seed in (1, 1, 2))
    assert first.intervals == again.intervals
    assert first.intervals != other.intervals
    # The values themselves are the same bits, however many resamples are drawn beside them.
    assert first == other == evaluate(predictions(), intervals=False) == evaluate(predictions(), resamples=3)


def test_each_member_alone() -> None:
    p = predictions()
    scores = evaluate(p, predictions(seed=1, labels_B=None), intervals=False)
    for name in ("accuracy", "nll", "total", "auroc_msp"):
        alone = [evaluate(p.members([m]), predictions(seed=1).members([m]), intervals=False)[name] for m in range(3)]
        assert scores.per_member[name] == tuple(alone)
        assert scores.member_mean(name) == pytest.approx(torch.tensor(alone).mean().item())
        assert scores.member_std(name) == pytest.approx(torch.tensor(alone).std().item())
    assert math.isnan(scores.member_mean("disagreement"))
    # Jensen: the pool is never worse than its members on average.
    assert scores["nll"] <= scores.member_mean("nll")
    assert scores["brier"] <= scores.member_mean("brier")


def test_one_and_several_ood_sets() -> None:
    p = predictions()
    far = Predictions(torch.zeros(3, 30, 4))
    near = predictions(seed=2, labels_B=None)
    alone = evaluate(p, far, resamples=50)
    assert alone["auroc_entropy"] == 1
    several = evaluate(p, {"far": far, "near": near}, resamples=50)
    assert several["auroc_entropy[far]"] == 1
    assert several["auroc_entropy[near]"] < 0.9
    assert several["auroc_msp[near]"] == evaluate(p, near, intervals=False)["auroc_msp"]
    assert "auroc_msp" not in several
    assert several.interval("auroc_msp[near]")[0] < several["auroc_msp[near]"] < several.interval("auroc_msp[near]")[1]


def test_in_distribution_and_ood_samples_are_resampled_apart() -> None:
    # Two sets of equal size and equal content: resampled alike, the AUROC would be 1/2 without any spread.
    p = predictions()
    low, high = evaluate(p, p, resamples=200).interval("auroc_msp")
    assert high - low > 0.1


def test_without_labels_only_scores_that_need_none() -> None:
    scores = evaluate(predictions(labels_B=None), predictions(seed=1), intervals=False)
    assert "accuracy" not in scores
    assert {"disagreement", "epistemic", "auroc_mutual_information", "fpr95_msp", "aupr_entropy"} <= set(scores)


def test_one_member() -> None:
    scores = evaluate(predictions(members=1), resamples=20)
    assert math.isnan(scores["disagreement"])
    assert math.isnan(scores["divergence"])
    assert all(math.isnan(end) for end in scores.interval("divergence"))
    assert scores["epistemic"] == 0


def test_pooling_of_logits() -> None:
    p = predictions()
    pooled = Predictions(p.logits_MBC.mean(0, keepdim=True), p.labels_B)
    by_logits = evaluate(p, intervals=False, pooling="softmax-of-mean-logits")
    for name in ("accuracy", "nll", "brier", "ece_15", "f1_macro", "aurc"):
        assert by_logits[name] == pytest.approx(evaluate(pooled, intervals=False)[name], abs=1e-6), name
    assert by_logits["nll"] != evaluate(p, intervals=False)["nll"]
    # Uncertainties are those of the mean of probabilities whatever the pooling.
    assert by_logits["total"] == evaluate(p, intervals=False)["total"]


def test_what_is_refused() -> None:
    p = predictions()
    with pytest.raises(DataError, match=r"the OOD predictions\[far\] have 2 members, expected 3"):
        evaluate(p, {"far": predictions(members=2)})
    with pytest.raises(DataError, match="have 5 classes, expected 4"):
        evaluate(p, predictions(num_classes=5))
    with pytest.raises(UnknownNameError, match="unknown pooling 'mean'"):
        evaluate(p, pooling="mean")
    with pytest.raises(ConfigurationError, match="resamples = 0"):
        evaluate(p, resamples=0)
