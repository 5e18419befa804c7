"""scikit-learn's own suite for estimators, on the matrices of numbers that it knows."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from lora_ensemble.sklearn import EnsembleClassifier

NOT_APPLICABLE = {
    "check_methods_sample_order_invariance": "wants 1e-7: the network computes in float32 (tested to its tolerance)",
    "check_methods_subset_invariance": "wants 1e-7: the network computes in float32 (tested to its tolerance)",
}


def small() -> EnsembleClassifier:
    return EnsembleClassifier(members=2, r=2, epochs=8, batch_size=16, learning_rate=1e-2)


@parametrize_with_checks([small()], expected_failed_checks=lambda estimator: NOT_APPLICABLE)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
