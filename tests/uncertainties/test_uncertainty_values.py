"""Uncertainties against closed forms, slow twins, scikit-learn and scipy."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors
from torch.testing import assert_close

from lora_ensemble.analysis import uncertainty
from lora_ensemble.predictions import Predictions

M, B, C = 5, 30, 4
GENERATOR = torch.Generator().manual_seed(0)
P = Predictions(3 * torch.randn(M, B, C, generator=GENERATOR))
LOGITS = P.logits_MBC.double().numpy()
PROBS = np.exp(LOGITS - logsumexp(LOGITS, -1, keepdims=True))
CERTAIN = 1000.0


def twin(name: str, m_bc: np.ndarray, probs: np.ndarray) -> float:
    """Of one row: logits and probabilities (M, C)."""
    pooled = probs.mean(0)
    votes = Counter(probs.argmax(-1).tolist())
    energies = logsumexp(m_bc, -1)
    pairs = list(itertools.permutations(range(M), 2))
    by_class = [math.log(np.mean(np.exp(m_bc[:, c]))) for c in range(C)]
    return {
        "msp": lambda: 1 - max(pooled),
        "margin": lambda: 1 - (sorted(pooled)[-1] - sorted(pooled)[-2]),
        "entropy": lambda: -sum(q * math.log(q) for q in pooled),
        "expected_entropy": lambda: -sum(q * math.log(q) for q in probs.ravel()) / M,
        "variation_ratio": lambda: 1 - max(votes.values()) / M,
        "deviation": lambda: np.std(probs[:, pooled.argmax()]),
        "divergence": lambda: sum((probs[i] * np.log(probs[i] / probs[j])).sum() for i, j in pairs) / len(pairs),
        "energy": lambda: -np.mean(energies),
        "energy_mean_logits": lambda: -logsumexp(m_bc.mean(0)),
        "energy_log_sum_exp": lambda: -math.log(np.exp(m_bc).sum() / M),
        "max_logit": lambda: -np.mean(m_bc.max(-1)),
        "max_logit_mean_logits": lambda: -max(m_bc.mean(0)),
        "max_logit_log_sum_exp": lambda: -max(by_class),
        "dempster_shafer": lambda: np.mean([C / (C + np.exp(row).sum()) for row in m_bc]),
    }[name]()


TWINS = (
    *("msp", "margin", "entropy", "expected_entropy", "variation_ratio", "deviation", "divergence", "energy"),
    *("energy_mean_logits", "energy_log_sum_exp", "max_logit", "max_logit_mean_logits", "max_logit_log_sum_exp"),
    "dempster_shafer",
)


@pytest.mark.parametrize("name", TWINS)
def test_against_a_slow_twin(name: str) -> None:
    expected = torch.tensor([twin(name, LOGITS[:, b], PROBS[:, b]) for b in range(B)], dtype=torch.float64)
    assert_close(uncertainty(P, name), expected, atol=1e-6, rtol=1e-5)


def test_members_that_all_disagree_for_certain() -> None:
    p = Predictions((CERTAIN * torch.eye(4))[:, None])
    assert uncertainty(p, "mutual_information") == pytest.approx(math.log(4), rel=1e-6)
    assert uncertainty(p, "variation_ratio") == 0.75
    assert uncertainty(p, "msp") == pytest.approx(0.75)
    assert uncertainty(p, "margin") == pytest.approx(1)
    assert uncertainty(p, "deviation") == pytest.approx(math.sqrt(3) / 4)  # of 1, 0, 0, 0
    assert uncertainty(p, "divergence") == pytest.approx(CERTAIN)
    assert uncertainty(p, "expected_entropy") == 0


def test_uniform_members() -> None:
    p = Predictions(torch.zeros(3, 2, 5))
    for name, expected in {"msp": 0.8, "margin": 1.0, "dempster_shafer": 0.5, "energy": -math.log(5)}.items():
        assert_close(uncertainty(p, name), torch.full((2,), expected).double(), atol=1e-6, rtol=1e-6)
    for name in ("variation_ratio", "deviation", "divergence", "mutual_information"):
        assert_close(uncertainty(p, name), torch.zeros(2).double(), atol=1e-9, rtol=0)


def test_energies_are_in_order() -> None:
    plain, of_mean, together = (uncertainty(P, f"energy{s}") for s in ("", "_mean_logits", "_log_sum_exp"))
    assert bool((of_mean >= plain - 1e-6).all())
    assert bool((together <= plain + 1e-6).all())


def test_confidence_near_one_is_not_rounded_away() -> None:
    p = Predictions(
        torch.tensor([[[32.0, 0.0], [30.0, 0.0]]])  # in float32 both have a probability of exactly 1
    )
    for name in ("msp", "entropy"):
        first, second = uncertainty(p, name).tolist()
        assert 0 < first < second, name


# With features --------------------------------------------------------------------------------------------------


def featured(seed: int, rows: int, members: int = 2, width: int = 8) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    features = rng.normal(size=(members, rows, width)) @ rng.normal(size=(width, width)) + 3 * np.eye(3, width)[labels]
    head = np.random.default_rng(99).normal(size=(members, width, 3))
    return Predictions(features @ head + np.array([1.0, -2.0, 0.5]), labels, features_MBD=features)


def test_mahalanobis_against_scikit_learn() -> None:
    train, p = featured(0, 90), featured(1, 20)
    expected = np.zeros(20)
    for known, asked in zip(train.features_MBD.double().numpy(), p.features_MBD.double().numpy(), strict=True):
        means = np.stack([known[train.labels_B == c].mean(0) for c in range(3)])
        covariance = EmpiricalCovariance(assume_centered=True).fit(known - means[train.labels_B])
        expected += np.min([covariance.mahalanobis(asked - mean) for mean in means], axis=0) / 2
    assert_close(uncertainty(p, "mahalanobis", reference=train).numpy(), expected, rtol=1e-5, atol=0)


def test_mahalanobis_leaves_out_directions_without_variance() -> None:
    train, p = featured(0, 90, width=4), featured(1, 20, width=4)

    def wider(q: Predictions) -> Predictions:
        doubled = torch.cat([q.features_MBD, q.features_MBD.sum(-1, keepdim=True), torch.ones(2, len(q), 1)], -1)
        return Predictions(q.logits_MBC, q.labels_B, features_MBD=doubled)

    plain = uncertainty(p, "mahalanobis", reference=train)
    assert_close(uncertainty(wider(p), "mahalanobis", reference=wider(train)), plain, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rows", [30, 90])
def test_knn_against_scikit_learn(rows: int) -> None:
    train, p = featured(0, rows), featured(1, 20)
    expected = np.zeros(20)
    for known, asked in zip(train.features_MBD.double().numpy(), p.features_MBD.double().numpy(), strict=True):
        known, asked = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (known, asked))
        expected += NearestNeighbors(n_neighbors=min(50, rows)).fit(known).kneighbors(asked)[0][:, -1] / 2
    assert_close(uncertainty(p, "knn", reference=train).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_vim_against_a_slow_twin_that_knows_the_head() -> None:
    train, p = featured(0, 90), featured(1, 20)
    heads = np.random.default_rng(99).normal(size=(2, 8, 3))
    expected = np.zeros(20)
    for m in range(2):
        known, asked = (q.features_MBD[m].double().numpy() for q in (train, p))
        origin = -np.linalg.pinv(heads[m].T) @ np.array([1.0, -2.0, 0.5])
        values, vectors = np.linalg.eigh((known - origin).T @ (known - origin))
        outside = vectors[:, np.argsort(values)[:4]]  # half of 8 are kept
        scale = train.logits_MBC[m].double().numpy().max(-1).sum()
        scale /= np.linalg.norm((known - origin) @ outside, axis=1).sum()
        virtual = scale * np.linalg.norm((asked - origin) @ outside, axis=1)
        expected += (virtual - logsumexp(p.logits_MBC[m].double().numpy(), -1)) / 2
    assert_close(uncertainty(p, "vim", reference=train).numpy(), expected, rtol=1e-3, atol=1e-3)
