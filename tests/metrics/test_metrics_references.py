"""Scores against scikit-learn, torchmetrics, and slow twins."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from lora_ensemble.analysis.scoring import compute
from lora_ensemble.predictions import Predictions

SEEDS = st.integers(0, 2**32)


def predictions(seed: int, rows: int = 60, members: int = 3, num_classes: int = 5, digits: int = 6) -> Predictions:
    """Few digits make ties; labels follow the logits loosely, and do not always cover all classes."""
    rng = np.random.default_rng(seed)
    shared = 2 * rng.normal(size=(1, rows, num_classes))
    logits = np.round(shared + rng.normal(size=(members, rows, num_classes)), digits)
    labels = np.where(rng.random(rows) < 0.5, logits[0].argmax(-1), rng.integers(num_classes - 1, size=rows))
    return Predictions(logits, labels)


def scores(p: Predictions, ood: Predictions | None = None) -> dict[str, float]:
    rows = len(p) + (len(ood) if ood else 0)
    return {name: float(values) for name, values in compute(p, torch.ones(1, rows).double(), ood=ood).items()}


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_classification_against_scikit_learn(seed: int) -> None:
    p = predictions(seed, rows=12)
    found, labels, probs = scores(p), p.labels_B.numpy(), p.pooled_probs().numpy()
    predicted = probs.argmax(-1)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    for name, reference in (("f1", sk.f1_score), ("precision", sk.precision_score), ("recall", sk.recall_score)):
        expected = reference(labels, predicted, average="macro", zero_division=0)
        assert found[f"{name}_macro"] == pytest.approx(expected), name
    assert found["nll"] == pytest.approx(sk.log_loss(labels, probs, labels=range(5)))
    per_class = [sk.brier_score_loss(labels == c, probs[:, c], pos_label=True) for c in range(5)]
    assert found["brier"] == pytest.approx(sum(per_class))


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_ece_against_torchmetrics(seed: int) -> None:
    p = predictions(seed, rows=200)
    for bins in (10, 15):
        expected = multiclass_calibration_error(p.pooled_probs(), p.labels_B, 5, n_bins=bins, norm="l1")
        assert scores(p)[f"ece_{bins}"] == pytest.approx(float(expected), abs=1e-6)


def test_pairs_of_members_against_a_loop() -> None:
    p = predictions(0, members=4)
    probs, classes = p.probs_MBC.double(), p.probs_MBC.argmax(-1)
    differ, divergence = [], []
    for i, j in itertools.combinations(range(4), 2):
        differ.append(float((classes[i] != classes[j]).double().mean()))
        both = [(probs[a] * (probs[a] / probs[b]).log()).sum(-1).mean() for a, b in ((i, j), (j, i))]
        divergence.append(float(sum(both)) / 2)
    assert scores(p)["disagreement"] == pytest.approx(np.mean(differ))
    assert scores(p)["divergence"] == pytest.approx(np.mean(divergence), rel=1e-5)


@pytest.mark.parametrize("digits", [0, 6])
@pytest.mark.parametrize("seed", range(5))
def test_detection_against_scikit_learn(seed: int, digits: int) -> None:
    p = predictions(seed, rows=70, digits=digits)
    ood = predictions(seed + 100, rows=41, digits=digits)
    ood = Predictions(ood.logits_MBC * 0.5)
    found = scores(p, ood)
    is_ood = np.repeat([0, 1], [70, 41])
    uncertainties = {
        "msp": [1 - part.pooled_probs().max(-1).values for part in (p, ood)],
        "entropy": [part.total_B for part in (p, ood)],
        "mutual_information": [part.epistemic_B for part in (p, ood)],
        "expected_entropy": [part.aleatoric_B for part in (p, ood)],
    }
    for name, parts in uncertainties.items():
        score = torch.cat(parts).numpy()
        assert found[f"auroc_{name}"] == pytest.approx(sk.roc_auc_score(is_ood, score), abs=1e-6)
        assert found[f"aupr_{name}"] == pytest.approx(sk.average_precision_score(is_ood, score), abs=1e-6)
        fpr, tpr, _ = sk.roc_curve(is_ood, score, drop_intermediate=False)
        assert found[f"fpr95_{name}"] == pytest.approx(fpr[np.argmax(tpr >= 0.95)], abs=1e-6)


def test_ties_occur_in_the_rounded_case() -> None:
    p = predictions(0, rows=70, digits=0, members=1)
    assert len(torch.unique(p.total_B)) < 70


def slow_aurc(confidence: list[float], wrong: list[bool]) -> float:
    """Over every order in which equally confident samples may come."""
    areas = []
    for order in itertools.permutations(range(len(wrong))):
        if all(confidence[a] >= confidence[b] for a, b in itertools.pairwise(order)):
            kept = [wrong[b] for b in order]
            areas.append(math.fsum(sum(kept[:k]) / k for k in range(1, len(kept) + 1)) / len(kept))
    return math.fsum(areas) / len(areas)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.6, 0.7, 0.8]), st.booleans()), min_size=1, max_size=6))
def test_aurc_against_every_order(samples: list[tuple[float, bool]]) -> None:
    probs = torch.tensor([[q, 1 - q] for q, _ in samples])
    p = Predictions(probs.log()[None], torch.tensor([int(wrong) for _, wrong in samples]))
    expected = slow_aurc([q for q, _ in samples], [wrong for _, wrong in samples])
    assert scores(p)["aurc"] == pytest.approx(expected)
