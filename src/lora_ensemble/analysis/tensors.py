"""What metrics and uncertainties may ask of predictions, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lora_ensemble.predictions import Pooling, Predictions

TENSORS: dict[str, Callable[[Predictions, Pooling], Any]] = {
    "logits_MBC": lambda p, _: p.logits_MBC,
    "probs_MBC": lambda p, _: p.probs_MBC,
    "log_probs_MBC": lambda p, _: torch.log_softmax(p.logits_MBC, -1),
    "probs_BC": lambda p, pooling: p.pooled_probs(pooling),
    "classes_MB": lambda p, _: p.moments.classes_MB,
    "max_logit_MB": lambda p, _: p.moments.max_logit_MB,
    "evidence_MB": lambda p, _: p.moments.evidence_MB,
    "total_B": lambda p, _: p.total_B,
    "aleatoric_B": lambda p, _: p.aleatoric_B,
    "epistemic_B": lambda p, _: p.epistemic_B,
    "features_MBD": lambda p, _: p.features_MBD,
    "labels_B": lambda p, _: p.labels_B,
    "predicted_B": lambda p, pooling: p.pooled_probs(pooling).argmax(-1),
    "right_B": lambda p, pooling: _right(p, pooling),
    "label_probs_B": lambda p, pooling: _of_labels(p, pooling),
    "label_logs_MB": lambda p, _: _logs_of_labels(p),
    "squares_B": lambda p, pooling: torch.einsum("bc,bc->b", *[p.pooled_probs(pooling)] * 2),
    "top_BK": lambda p, pooling: _largest(p.pooled_probs(pooling), 5),
}
"""Described in `lora_ensemble.metrics` and `lora_ensemble.uncertainties`."""

LARGE = frozenset({"logits_MBC", "probs_MBC", "log_probs_MBC", "features_MBD"})
"""Those that are made for some of the rows at a time, and not kept."""

NEEDS = {
    **dict.fromkeys(["labels_B", "right_B", "label_probs_B", "label_logs_MB"], "labels_B"),
    **dict.fromkeys(["logits_MBC", "max_logit_MB", "evidence_MB"], "logits_MBC"),
    "features_MBD": "features_MBD",
}
"""What not all predictions have, by the tensors that need it: labels, logits, hidden features."""


@cache
def wanted(function: Callable[..., Any]) -> frozenset[str]:
    """Names of what a plug-in's function asks for."""
    return frozenset(inspect.signature(function).parameters)


def _right(p: Predictions, pooling: Pooling) -> Tensor:
    assert p.labels_B is not None
    return (p.pooled_probs(pooling).argmax(-1) == p.labels_B).double()


def _of_labels(p: Predictions, pooling: Pooling) -> Tensor:
    assert p.labels_B is not None
    return p.pooled_probs(pooling).gather(1, p.labels_B[:, None]).squeeze(1)


def _logs_of_labels(p: Predictions) -> Tensor:
    assert p.labels_B is not None
    logits_MB = p.logits_MBC.gather(2, p.labels_B.expand(p.num_members, -1)[..., None]).squeeze(2)
    logs_MB: Tensor = logits_MB.double() - p.moments.evidence_MB
    return logs_MB.clamp(max=0)


def _largest(probs_BC: Tensor, count: int) -> Tensor:
    """(B, K) the largest of each row, falling; all where there are fewer. Several times as fast as `topk`."""
    values_BC = probs_BC.numpy()
    if values_BC.shape[1] > count:
        values_BC = np.partition(values_BC, values_BC.shape[1] - count, axis=1)[:, -count:]
    return torch.from_numpy(np.ascontiguousarray(np.sort(values_BC, axis=1)[:, ::-1]))
