"""Predictions: the seam between what runs models and what computes from their logits."""

from lora_ensemble.predictions.predictions import Pooling, Predictions

__all__ = ["Pooling", "Predictions"]
