"""Curves of predictions against slow, obvious twins."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from noisy_predictions import predictions

from lora_ensemble.analysis import evaluate, reliability, risk_coverage
from lora_ensemble.predictions import Predictions
from lora_ensemble.report.curves import COVERAGE, EDGES, curves_of
from lora_ensemble.report.seeds import pooled_bins, pooled_histogram


def test_histograms_count_every_sample():
    p, ood = predictions(), predictions(samples=25, seed=7)
    curves = curves_of(p, {"noise": ood})
    inner = np.clip(p.total_B.numpy(), EDGES[0], EDGES[-1])
    assert curves.entropy.inside == tuple(np.histogram(inner, EDGES)[0])
    assert sum(curves.mutual_information.inside) == sum(curves.msp.inside) == 60
    assert sum(curves.msp.outside["noise"]) == 25


def test_values_beyond_the_edges_count_in_the_outermost_bins():
    sure = Predictions([[[0.0, 200.0], [0.0, 0.0]]])
    curves = curves_of(sure, {})
    assert curves.msp.inside[0] == 1
    assert curves.mutual_information.inside[0] == 2


def test_risk_at_each_coverage():
    p = predictions()
    wrong = (p.mean_probs_BC.argmax(-1) != p.labels_B).numpy()[p.mean_probs_BC.max(-1).values.argsort(descending=True)]
    expected = [wrong[: int(np.ceil(share * 60 - 1e-9))].mean() for share in COVERAGE]
    assert curves_of(p, {}).risk == pytest.approx(expected, abs=1e-4)
    assert expected[-1] == pytest.approx(risk_coverage(p).risk_at(1.0))


def test_disagreement_of_each_pair():
    p = predictions()
    matrix = np.array(curves_of(p, {}).disagreement_MM)
    guesses = p.logits_MBC.argmax(-1).numpy()
    for a, b in itertools.product(range(3), repeat=2):
        assert matrix[a, b] == pytest.approx(np.mean(guesses[a] != guesses[b]), abs=1e-5)
    assert matrix[np.tril_indices(3, -1)].mean() == pytest.approx(
        evaluate(p, intervals=False)["disagreement"], abs=1e-5
    )


def test_members_curve_ends_with_the_ensemble():
    p = predictions(members=7)
    curve = curves_of(p, {}).members
    assert curve is not None
    assert curve.sizes == (1, 2, 4, 7)
    assert curve.mean["nll"][-1] == pytest.approx(evaluate(p, intervals=False)["nll"])


def test_without_labels_and_with_one_member():
    curves = curves_of(predictions(members=1, labels=False), {})
    assert (curves.reliability, curves.risk, curves.members, curves.disagreement_MM) == (None, None, None, ())


def test_seeds_pool_their_samples():
    """Bins of two seeds equal those of all samples at once."""
    parts = [predictions(seed=0), predictions(seed=1, samples=45)]
    logits = np.concatenate([part.logits_MBC for part in parts], 1)
    everything = reliability(Predictions(logits, np.concatenate([part.labels_B for part in parts])))
    confidence_K, accuracy_K, count_K = pooled_bins([c for part in parts if (c := curves_of(part, {}).reliability)])
    np.testing.assert_allclose(confidence_K, everything.confidence_K, atol=1e-4)
    np.testing.assert_allclose(accuracy_K, everything.accuracy_K, atol=1e-4)
    assert count_K.tolist() == everything.count_K.tolist()


def test_seeds_pool_the_sets_that_they_have():
    p = predictions()
    histograms = [curves_of(p, {"a": p}).msp, curves_of(p, {"a": p, "b": p}).msp]
    inside, outside = pooled_histogram(histograms)
    assert inside.sum() == 120
    assert {name: counts.sum() for name, counts in outside.items()} == {"a": 120, "b": 60}
