"""What can be promised of new rows: prediction sets of a coverage, and answers of a risk, fitted on validation and
measured on the split that is reported."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lora_ensemble.analysis import abstain, conformal
from lora_ensemble.analysis.binomial import Share
from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions

COVERAGES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99)
"""Coverages that a report offers."""
RISKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2)
"""Risks that a report offers."""
KIND, BY, CONFIDENCE = "aps", "total", 0.95
_ENOUGH = 20
"""Rows of a class from which its coverage is looked at."""


@dataclass(frozen=True)
class Sets:
    """Prediction sets for one coverage."""

    target: float
    """The coverage that is promised, 0 .. 1."""
    coverage: float | None
    """Share of the rows whose label is in their set; None without labels."""
    low: float | None
    """95 % interval of that share."""
    high: float | None
    size: float
    """Mean number of classes in a set."""
    single: float
    """Share of the rows whose set holds one class."""
    worst: float | None = None
    """Coverage of the class that is covered least."""
    worst_class: str | None = None


@dataclass(frozen=True)
class Answers:
    """What is answered, and what is handed over, for one risk."""

    target: float
    """The share of wrong answers that is promised at most, 0 .. 1."""
    threshold: float | None
    """Rows of at most this uncertainty are answered; None where the risk cannot be promised."""
    kept: float | None
    """Share of the rows that are answered."""
    risk: float | None
    """Share of wrong ones among them; None without labels."""


@dataclass(frozen=True)
class Promises:
    """Fitted on validation, measured on the split of the report."""

    rows: int
    """Of validation."""
    kind: str
    """Of conformal prediction."""
    sets: tuple[Sets, ...]
    by: str
    """The uncertainty by which rows are handed over."""
    confidence: float
    """That the promise of a risk holds, over validation splits."""
    answers: tuple[Answers, ...]


def promises_of(p: Predictions, validation: Predictions) -> Promises:
    """Raises DataError for predictions of another ensemble than validation's, and for validation without labels or of
    the test split."""
    return Promises(
        rows=len(validation),
        kind=KIND,
        sets=_sets(p, validation),
        by=BY,
        confidence=CONFIDENCE,
        answers=tuple(_answers(p, validation, risk) for risk in RISKS),
    )


def _sets(p: Predictions, validation: Predictions) -> tuple[Sets, ...]:
    """For every coverage from the same p-values: a class is in the set where its own is above 1 - coverage."""
    p_values_BC = conformal(validation, kind=KIND)(p).p_values_BC
    first_B = p.pooled_probs().argmax(1)
    made = []
    for target in COVERAGES:
        sets_BC = p_values_BC > 1 - target + 1e-7
        sets_BC[torch.arange(len(p)), first_B] |= ~sets_BC.any(1)
        sizes_B = sets_BC.sum(1).double()
        size, single = float(sizes_B.mean()), float((sizes_B == 1).double().mean())
        if p.labels_B is None:
            made.append(Sets(target, None, None, None, size, single))
            continue
        held_B = sets_BC.gather(1, p.labels_B[:, None]).squeeze(1)
        share = Share.of(int(held_B.sum()), len(p))
        worst, of = _worst(held_B, p.labels_B, p)
        made.append(Sets(target, share.value, share.low, share.high, size, single, worst, of))
    return tuple(made)


def _worst(held_B: Tensor, labels_B: Tensor, p: Predictions) -> tuple[float | None, str | None]:
    """Coverage and name of the class that is covered least, of those with enough rows."""
    rows_C = torch.bincount(labels_B, minlength=p.num_classes)
    share_C = torch.bincount(labels_B, held_B.double(), minlength=p.num_classes) / rows_C.clamp(min=1)
    if not bool((rows_C >= _ENOUGH).any()):
        return None, None
    c = int(share_C.masked_fill(rows_C < _ENOUGH, 2.0).argmin())
    return float(share_C[c]), str((p.meta.get("classes") or range(p.num_classes))[c])


def _answers(p: Predictions, validation: Predictions, risk: float) -> Answers:
    try:
        fitted = abstain(validation, risk=risk, confidence=CONFIDENCE, by=BY)
    except DataError:  # these validation rows cannot promise it
        return Answers(risk, None, None, None)
    kept = fitted(p)
    wrong = kept.risk.value if p.labels_B is not None and kept.keep_B.any() else None
    return Answers(risk, fitted.threshold, kept.coverage.value, wrong)
