"""Run the metric files: give each one the tensors that it asks for by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lora_ensemble import registry
from lora_ensemble.predictions import Pooling, Predictions

CALIBRATED = "calibrated_"
"""Prefix of a score after calibration, in tables."""

TENSORS: dict[str, Callable[[Predictions, Pooling], Any]] = {
    "probs_MBC": lambda p, _: p.probs_MBC,
    "log_probs_MBC": lambda p, _: torch.log_softmax(p.logits_MBC, -1),
    "probs_BC": lambda p, pooling: p.pooled_probs(pooling),
    "total_B": lambda p, _: p.total_B,
    "aleatoric_B": lambda p, _: p.aleatoric_B,
    "epistemic_B": lambda p, _: p.epistemic_B,
    "labels_B": lambda p, _: p.labels_B,
}
"""What a metric may ask for, beside `ood_B` and `counts_RB`; described in `lora_ensemble.metrics`."""


def compute(
    p: Predictions,
    counts_RB: Tensor,
    *,
    ood: Predictions | None = None,
    pooling: Pooling = "mean-of-probabilities",
    names: Collection[str] | None = None,
) -> dict[str, Tensor]:
    """Scores by name, (R,) each: of `p` alone, or, with `ood`, of telling the two apart.

    counts_RB: (R, B), with `ood` (R, B + samples of the OOD set). names: only metric files that yield one of these.
    Metrics that need labels are left out where there are none.
    """
    known = {"counts_RB": counts_RB}
    if ood is not None:
        known["ood_B"] = torch.arange(len(p) + len(ood)) >= len(p)
    chosen = [metric for name, metric in applicable(p, ood).items() if names is None or name in names]
    values: dict[str, Tensor] = {}
    for metric in dict.fromkeys(chosen):
        for name in wanted_by(metric) - known.keys():
            known[name] = _tensor(name, p, ood, pooling)
        values.update(metric.score(**{name: known[name] for name in wanted_by(metric)}))
    return values


def applicable(p: Predictions, ood: Predictions | None = None) -> dict[str, ModuleType]:
    """The scores that these predictions can have, each with its metric file: of `p` alone or, with `ood`, of both."""
    missing = set() if ood is not None else {"ood_B"}
    if any(part.labels_B is None for part in (p, ood) if part is not None):
        missing.add("labels_B")
    return {
        name: metric
        for metric in metrics()
        for name in metric.BETTER
        if not wanted_by(metric) & missing and (ood is None or "ood_B" in wanted_by(metric))
    }


@cache
def wanted_by(metric: ModuleType) -> frozenset[str]:
    """Names of the tensors that a metric asks for."""
    return frozenset(inspect.signature(metric.score).parameters)


def metrics() -> list[ModuleType]:
    """Every metric file's module."""
    return [registry.module("metrics", name) for name in registry.names("metrics")]


def better(score: str) -> str | None:
    """Whether "higher" or "lower" values of a score are better; None: neither, or not a score of ours."""
    plain = score.partition("[")[0].removeprefix(CALIBRATED)
    return next((metric.BETTER[plain] for metric in metrics() if plain in metric.BETTER), None)


def _tensor(name: str, p: Predictions, ood: Predictions | None, pooling: Pooling) -> Tensor:
    parts = [TENSORS[name](part, pooling) for part in (p, ood) if part is not None]
    return torch.cat(parts, dim=name.rpartition("_")[2].index("B"))
