"""What a report draws of one run: small arrays, kept in place of its predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lora_ensemble.analysis import MembersCurve, members_curve, reliability, risk_coverage, roc
from lora_ensemble.analysis.uncertainty import uncertainty
from lora_ensemble.predictions import Pooling, Predictions

COVERAGE = tuple(k / 100 for k in range(1, 101))
"""Shares of the samples at which a risk is kept."""

EDGES = tuple(float(f"{10 ** (k / 8):.4g}") for k in range(-48, 9))
"""Edges of a histogram's bins: eight per decade from 1e-6 to 10. What lies outside counts in the outermost bins."""

FALSE_ALARMS = tuple(k / 100 for k in range(101))
"""Shares of false alarms at which a ROC curve is kept."""

_DRAWN = ("entropy", "mutual_information", "msp")
_MEMBERS_SCORES = ("accuracy", "nll", "ece_15", "total", "aleatoric", "epistemic")
_MEMBERS_DETECTORS = ("auroc_entropy", "auroc_mutual_information")
_MOST_SIZES = 6
"""Members up to which every number of members is in the members curve; above, powers of two."""


@dataclass(frozen=True)
class Bins:
    """K bins of equal width over the confidence."""

    confidence_K: tuple[float | None, ...]
    """Mean confidence of each bin, None for an empty one."""
    accuracy_K: tuple[float | None, ...]
    """Accuracy of each bin, None for an empty one."""
    count_K: tuple[int, ...]
    """Samples in each bin."""


@dataclass(frozen=True)
class Histogram:
    """How an uncertainty is distributed over the bins between `EDGES`."""

    inside: tuple[int, ...]
    """Samples of the split in each bin."""
    outside: Mapping[str, Sequence[int]]
    """Samples of each OOD set in each bin, by the set's name."""


@dataclass(frozen=True)
class Joint:
    """How entropy and mutual information are distributed together, over cells between `EDGES` on both axes: (bin of the
    entropy, bin of the mutual information, samples) of each cell that is not empty."""

    inside: tuple[tuple[int, int, int], ...]
    """Of the split."""
    outside: Mapping[str, Sequence[Sequence[int]]]
    """Of each OOD set, by the set's name."""


@dataclass(frozen=True)
class Curves:
    """Everything that is drawn of one run. Without labels the first three are None; with one member, the members curve
    has one size, the matrix is empty and there is nothing of mutual information to tell sets apart by."""

    reliability: Bins | None
    risk: tuple[float, ...] | None
    """Error rate of the most confident samples, at each share of `COVERAGE`."""
    members: MembersCurve | None
    """Scores of fewer members."""
    disagreement_MM: tuple[tuple[float, ...], ...]
    """Share of the samples on which each pair of members predicts different classes."""
    entropy: Histogram
    """Of total uncertainty, in nats."""
    mutual_information: Histogram
    """Of epistemic uncertainty, in nats."""
    msp: Histogram
    """Of 1 - the largest probability."""
    roc: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    """By uncertainty and by the name of an OOD set: the share of the set that is found at each of `FALSE_ALARMS`."""
    joint: Joint | None = None
    """Of total and epistemic uncertainty, in nats."""


def curves_of(p: Predictions, ood: Mapping[str, Predictions], pooling: Pooling = "mean-of-probabilities") -> Curves:
    """The curves of predictions, and of the same members' predictions on OOD sets, by name."""
    labelled = p.labels_B is not None
    telling = [name for name in _DRAWN if name != "mutual_information" or p.num_members > 1]

    def histogram(name: str) -> Histogram:
        inside, *outside = (_counts(uncertainty(part, name, pooling=pooling)) for part in (p, *ood.values()))
        return Histogram(inside, dict(zip(ood, outside, strict=True)))

    return Curves(
        reliability=bins_of(p, pooling) if labelled else None,
        risk=risk_of(p, pooling) if labelled else None,
        members=_members(p, ood, pooling) if labelled else None,
        disagreement_MM=_disagreement(p.logits_MBC.argmax(-1)),
        entropy=histogram("entropy"),
        mutual_information=histogram("mutual_information"),
        msp=histogram("msp"),
        roc={name: {s: _roc(p, part, name, pooling) for s, part in ood.items()} for name in telling if ood},
        joint=_joint(p, ood) if p.num_members > 1 else None,
    )


def bins_of(p: Predictions, pooling: Pooling) -> Bins:
    """The bins of a reliability diagram."""
    bins = reliability(p, pooling=pooling)
    return Bins(_rounded(bins.confidence_K), _rounded(bins.accuracy_K), tuple(bins.count_K.tolist()))


def risk_of(p: Predictions, pooling: Pooling) -> tuple[float, ...]:
    """Error rate of the most confident samples, at each share of `COVERAGE`."""
    curve = risk_coverage(p, pooling=pooling)
    return tuple(float(f"{curve.risk_at(share):.5g}") for share in COVERAGE)


def _members(p: Predictions, ood: Mapping[str, Predictions], pooling: Pooling) -> MembersCurve:
    sizes = range(1, p.num_members + 1) if p.num_members <= _MOST_SIZES else None
    scores = [*_MEMBERS_SCORES, *(f"{name}[{s}]" for s in ood for name in _MEMBERS_DETECTORS)]
    return members_curve(p, scores, sizes, ood=ood, subsets=10, pooling=pooling)


def _roc(p: Predictions, ood: Predictions, name: str, pooling: Pooling) -> tuple[float, ...]:
    found = roc(p, ood, name, pooling).true_positive_at(torch.tensor(FALSE_ALARMS, dtype=torch.float64))
    return tuple(float(f"{share:.4g}") for share in found.tolist())


def _joint(p: Predictions, ood: Mapping[str, Predictions]) -> Joint:
    def cells(part: Predictions) -> tuple[tuple[int, int, int], ...]:
        pairs = torch.stack([_bin(part.total_B), _bin(part.epistemic_B)], 1)
        found, count = torch.unique(pairs, dim=0, return_counts=True)
        return tuple((i, j, n) for (i, j), n in zip(found.tolist(), count.tolist(), strict=True))

    return Joint(cells(p), {name: cells(part) for name, part in ood.items()})


def _disagreement(predicted_MB: Tensor) -> tuple[tuple[float, ...], ...]:
    if len(predicted_MB) == 1:
        return ()
    rows = [(predicted_MB != predicted_B).double().mean(1) for predicted_B in predicted_MB]
    return tuple(tuple(float(f"{v:.5g}") for v in row.tolist()) for row in rows)


def _counts(uncertainty_B: Tensor) -> tuple[int, ...]:
    return tuple(torch.bincount(_bin(uncertainty_B), minlength=len(EDGES) - 1).tolist())


def _bin(uncertainty_B: Tensor) -> Tensor:
    """Number of the bin between `EDGES`."""
    return torch.bucketize(uncertainty_B.double(), torch.tensor(EDGES[1:-1], dtype=torch.float64))


def _rounded(values_K: Tensor) -> tuple[float | None, ...]:
    return tuple(None if v != v else float(f"{v:.5g}") for v in values_K.tolist())
