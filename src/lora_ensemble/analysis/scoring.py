"""Run the metric files: give each one the tensors that it asks for by name."""

from __future__ import annotations

from collections.abc import Collection
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lora_ensemble import registry
from lora_ensemble.analysis.known import Known
from lora_ensemble.analysis.tensors import wanted
from lora_ensemble.analysis.uncertainty import names as uncertainty_names
from lora_ensemble.analysis.uncertainty import needs_several
from lora_ensemble.predictions import Pooling, Predictions

CALIBRATED = "calibrated_"
"""Prefix of a score after calibration, in tables."""

FAMILY = "uncertainty_B"
"""A metric that asks for it is computed once for every uncertainty, whose name its scores then end with."""

COUNTS = frozenset({"counts_RB", "counts32_RB"})
"""How often each sample counts, by their names."""

_ROUNDING = 1e-9  # nats, shares: members with the same weights differ by less


class Source(NamedTuple):
    """Where a score comes from."""

    metric: ModuleType
    uncertainty: str | None
    """Of a metric that is computed for each one."""


class Scorer:
    """Scores of predictions by themselves or, with `ood`, of telling the two apart; for as many resamples as come.

    names: only metric files that yield one of these. Metrics that need labels are left out where there are none.
    """

    def __init__(self, known: Known, ood: Known | None = None, names: Collection[str] | None = None):
        self.parts = [known] if ood is None else [known, ood]
        available = _available(self.parts)
        self.sources = list(dict.fromkeys(s for name, s in available.items() if names is None or name in names))
        for part in self.parts:
            part.prepare(tensor for source in self.sources for tensor in self._tensors(source).values())
        self._together: dict[str, Tensor] = {}
        self._prepared: dict[Source, dict[str, Any]] = {}

    def __call__(self, counts_RB: Tensor) -> dict[str, Tensor]:
        """(R,) each. counts_RB: (R, B), with an OOD set (R, B + samples of the OOD set)."""
        values: dict[str, Tensor] = {}
        counts = {"counts_RB": counts_RB, "counts32_RB": counts_RB.float()}
        for source in self.sources:
            if source not in self._prepared:
                self._prepared[source] = self._given(source)
            asked = {name: counts[name] for name in counts.keys() & wanted(source.metric.score)}
            found = source.metric.score(**self._prepared[source], **asked)
            suffix = f"_{source.uncertainty}" if source.uncertainty else ""
            values |= {f"{name}{suffix}": value_R for name, value_R in found.items()}
        return values

    def _given(self, source: Source) -> dict[str, Any]:
        """What a metric's `score` is given of the samples, the same for all resamples."""
        given: dict[str, Any] = {asked: self._tensor(name) for asked, name in self._tensors(source).items()}
        if source.uncertainty and self._without_any(source.uncertainty):
            given[FAMILY] = torch.full_like(given[FAMILY], torch.nan)
        if not hasattr(source.metric, "prepare"):
            return given
        prepared = source.metric.prepare(**{name: given[name] for name in wanted(source.metric.prepare)})
        return {"prepared": prepared} | {name: given[name] for name in given.keys() & wanted(source.metric.score)}

    def _without_any(self, uncertainty: str) -> bool:
        """Whether no sample has any of what only members that disagree have: there is nothing to tell by."""
        return needs_several(uncertainty) and float(self._tensor(f"{uncertainty}_B").max()) < _ROUNDING

    def _tensors(self, source: Source) -> dict[str, str]:
        """What a metric asks for, and the name of that."""
        asked = set(wanted_by(source.metric)) - COUNTS
        return {name: f"{source.uncertainty}_B" if name == FAMILY else name for name in asked}

    def _tensor(self, name: str) -> Tensor:
        """Of all samples, those of the OOD set last."""
        if name not in self._together:
            if name == "ood_B":
                samples, others = (len(part.p) for part in self.parts)
                self._together[name] = torch.arange(samples + others) >= samples
            elif len(self.parts) == 1:
                return self.parts[0][name]
            else:
                axis = name.rpartition("_")[2].index("B")
                self._together[name] = torch.cat([part[name] for part in self.parts], axis)
        return self._together[name]


def compute(
    p: Predictions,
    counts_RB: Tensor,
    *,
    ood: Predictions | None = None,
    pooling: Pooling = "mean-of-probabilities",
    names: Collection[str] | None = None,
    reference: Predictions | None = None,
) -> dict[str, Tensor]:
    """Scores by name, (R,) each; see `Scorer`. reference: for uncertainties that compare with known samples."""
    other = None if ood is None else Known(ood, pooling, reference)
    return Scorer(Known(p, pooling, reference), other, names)(counts_RB)


def applicable(p: Predictions, ood: Predictions | None = None, reference: Predictions | None = None) -> list[str]:
    """The scores that these predictions can have: of `p` alone or, with `ood`, of both."""
    return list(_available([Known(part, reference=reference) for part in (p, ood) if part is not None]))


def _available(parts: list[Known]) -> dict[str, Source]:
    found: dict[str, Source] = {}
    against = len(parts) > 1
    for metric in metrics():
        asked = set(wanted_by(metric)) - {*COUNTS, "ood_B", FAMILY}
        if ("ood_B" in wanted_by(metric)) != against or not all(part.has(name) for part in parts for name in asked):
            continue
        if FAMILY not in wanted_by(metric):
            found |= {name: Source(metric, None) for name in metric.BETTER}
            continue
        for uncertainty in parts[0].uncertainties:
            if all(uncertainty in part.uncertainties for part in parts):
                found |= {f"{name}_{uncertainty}": Source(metric, uncertainty) for name in metric.BETTER}
    return found


def wanted_by(metric: ModuleType) -> tuple[str, ...]:
    """Names of the tensors that a metric asks for, in `prepare` and in `score`."""
    prepared = wanted(metric.prepare) if hasattr(metric, "prepare") else frozenset()
    return tuple(sorted((wanted(metric.score) | prepared) - {"prepared"}))


def metrics() -> list[ModuleType]:
    """Every metric file's module."""
    return [registry.module("metrics", name) for name in registry.names("metrics")]


def source_of(score: str) -> tuple[ModuleType, str, str | None] | None:
    """The metric file that yields a score, the score's name in it, and the uncertainty of which it is; None where
    there is none. Of an OOD set or not, calibrated or not."""
    plain = score.partition("[")[0].removeprefix(CALIBRATED)
    for metric in metrics():
        for name in metric.BETTER:
            if FAMILY not in wanted_by(metric):
                if plain == name:
                    return metric, name, None
            elif plain.startswith(f"{name}_") and plain.removeprefix(f"{name}_") in uncertainty_names():
                return metric, name, plain.removeprefix(f"{name}_")
    return None


def better(score: str) -> str | None:
    """Whether "higher" or "lower" values of a score are better; None: neither, or not a score of ours."""
    source = source_of(score)
    direction = source and source[0].BETTER[source[1]]
    return str(direction) if direction else None
