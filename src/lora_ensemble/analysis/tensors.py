"""What metrics and uncertainties may ask of predictions, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from lora_ensemble.predictions import Pooling, Predictions

TENSORS: dict[str, Callable[[Predictions, Pooling], Any]] = {
    "logits_MBC": lambda p, _: p.logits_MBC,
    "probs_MBC": lambda p, _: p.probs_MBC,
    "log_probs_MBC": lambda p, _: torch.log_softmax(p.logits_MBC, -1),
    "probs_BC": lambda p, pooling: p.pooled_probs(pooling),
    "classes_MB": lambda p, _: p.logits_MBC.argmax(-1),
    "total_B": lambda p, _: p.total_B,
    "aleatoric_B": lambda p, _: p.aleatoric_B,
    "epistemic_B": lambda p, _: p.epistemic_B,
    "features_MBD": lambda p, _: p.features_MBD,
    "labels_B": lambda p, _: p.labels_B,
}
"""Described in `lora_ensemble.metrics` and `lora_ensemble.uncertainties`."""


@cache
def wanted(function: Callable[..., Any]) -> frozenset[str]:
    """Names of what a plug-in's function asks for."""
    return frozenset(inspect.signature(function).parameters)
