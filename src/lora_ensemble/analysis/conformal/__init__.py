"""Conformal prediction: sets of classes with a promised coverage."""

from lora_ensemble.analysis.conformal.fitting import KINDS, Conformal, conformal
from lora_ensemble.analysis.conformal.sets import Coverage, PredictionSets

__all__ = ["KINDS", "Conformal", "Coverage", "PredictionSets", "conformal"]
