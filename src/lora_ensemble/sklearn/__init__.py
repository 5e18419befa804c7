"""scikit-learn's habits: `EnsembleClassifier` has fit, predict, predict_proba and uncertainty."""

from lora_ensemble.sklearn.classifier import EnsembleClassifier

__all__ = ["EnsembleClassifier"]
