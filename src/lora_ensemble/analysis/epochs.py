"""epochs_curve: how scores and uncertainties move over the epochs of a training, of the ensemble and of its members."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lora_ensemble.analysis.evaluation import evaluate
from lora_ensemble.analysis.rendering import arrow, latex, markdown, mean, number, std
from lora_ensemble.errors import DataError
from lora_ensemble.fields import to_plain
from lora_ensemble.predictions import Pooling, Predictions

UNCERTAINTIES = ("total", "aleatoric", "epistemic")
"""Predictive entropy, expected entropy and mutual information: means over samples, in nats."""

SCORES = ("accuracy", "nll", "ece_15", *UNCERTAINTIES)
DETECTORS = ("auroc_msp", "auroc_entropy", "auroc_mutual_information")


@dataclass(frozen=True)
class EpochsCurve:
    """Scores after each of E epochs; epoch 0 is before training. Scores that need labels are left out without them.

    Those of an OOD set are `auroc_entropy[name]` and so on, and its uncertainties `total[name]` and so on."""

    epochs: tuple[int, ...]
    """The E epochs, rising."""
    ensemble: dict[str, tuple[float, ...]]
    """By score: the ensemble's, after each epoch."""
    member: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """By score: the mean over the members, each one alone, after each epoch."""
    spread: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """By score: the standard deviation over the members; NaN for one member."""


def epochs_curve(
    by_epoch: Mapping[int, Predictions],
    ood: Mapping[str, Mapping[int, Predictions]] | None = None,
    *,
    pooling: Pooling = "mean-of-probabilities",
) -> EpochsCurve:
    """by_epoch: predictions of one ensemble after each epoch. ood: by the name of an OOD set, the same on its samples.

    Raises DataError for no epochs, and for an OOD set that lacks one.
    """
    if not by_epoch:
        raise DataError("there are no epochs")
    epochs = sorted(by_epoch)
    for name, parts in (ood or {}).items():
        if missing := sorted(set(epochs) - set(parts)):
            raise DataError(f"the OOD set {name!r} has no predictions of epoch {missing[0]}")
    rows = [_row(by_epoch[e], {name: parts[e] for name, parts in (ood or {}).items()}, pooling) for e in epochs]
    names = list(rows[0])
    columns = [{name: tuple(row[name][k] for row in rows) for name in names} for k in range(3)]
    return EpochsCurve(tuple(epochs), *columns)


def _row(p: Predictions, ood: Mapping[str, Predictions], pooling: Pooling) -> dict[str, tuple[float, float, float]]:
    """By score: of the ensemble, mean and standard deviation of the members."""
    inside = evaluate(p, ood, intervals=False, pooling=pooling)
    found = {name: inside for name in (*SCORES, *(f"{d}[{s}]" for s in ood for d in DETECTORS)) if name in inside}
    row = {name: (s[name], s.member_mean(name), s.member_std(name)) for name, s in found.items()}
    for name, part in ood.items():
        outside = evaluate(part, intervals=False, pooling=pooling)
        for u in UNCERTAINTIES:
            row[f"{u}[{name}]"] = outside[u], outside.member_mean(u), outside.member_std(u)
    return row


# As a table -----------------------------------------------------------------------------------------------------------

OF_MEMBERS = ("accuracy", "nll", "ece_15")
"""Scores that a table shows of one member as well."""


def epochs_table(curves: Sequence[EpochsCurve], form: str = "markdown", digits: int = 3) -> str:
    """A row per epoch, "markdown" or "latex". Several runs, which are seeds: their means, with ± their standard
    deviation, after the epochs that all of them have."""
    first = curves[0]
    epochs = [e for e in first.epochs if all(e in curve.epochs for curve in curves)]
    columns = [
        (arrow(name) + " of one member" * of_member, name, of_member)
        for name in first.ensemble
        for of_member in ((False, True) if name in OF_MEMBERS else (False,))
    ]
    rows = [[str(e), *(_cell(curves, e, name, of, digits) for _, name, of in columns)] for e in epochs]
    return {"markdown": markdown, "latex": latex}[form](["epoch", *(head for head, _, _ in columns)], rows)


def epochs_json(curves: Mapping[str, Sequence[EpochsCurve]]) -> str:
    """By experiment, a list with the fields of `EpochsCurve` for each run; null where a value is not defined."""
    return json.dumps({name: [_null(to_plain(curve)) for curve in runs] for name, runs in curves.items()}, indent=2)


def _null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _null(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_null(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _cell(curves: Sequence[EpochsCurve], epoch: int, name: str, of_member: bool, digits: int) -> str:
    values = [(c.member if of_member else c.ensemble)[name][c.epochs.index(epoch)] for c in curves]
    if of_member and len(curves) == 1:
        return number(values[0], curves[0].spread[name][curves[0].epochs.index(epoch)], digits=digits)
    return number(mean(values), std(values) if len(values) > 1 else math.nan, digits=digits)
