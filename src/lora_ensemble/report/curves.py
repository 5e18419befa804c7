"""What a report draws of one run: small arrays, kept in place of its predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_ensemble.analysis import MembersCurve, members_curve, reliability, risk_coverage
from lora_ensemble.analysis.risk_coverage import UNCERTAINTIES
from lora_ensemble.predictions import Pooling, Predictions

COVERAGE = tuple(k / 100 for k in range(1, 101))
"""Shares of the samples at which a risk is kept."""

EDGES = tuple(float(f"{10 ** (k / 8):.4g}") for k in range(-48, 9))
"""Edges of a histogram's bins: eight per decade from 1e-6 to 10. What lies outside counts in the outermost bins."""

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
class Curves:
    """Everything that is drawn of one run. Without labels the first three are None; with one member, the members curve
    has one size and the matrix is empty."""

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


def curves_of(p: Predictions, ood: Mapping[str, Predictions], pooling: Pooling = "mean-of-probabilities") -> Curves:
    """The curves of predictions, and of the same members' predictions on OOD sets, by name."""
    labelled = p.labels_B is not None

    def histogram(name: str) -> Histogram:
        inside, *outside = (_counts(UNCERTAINTIES[name](part, pooling)) for part in (p, *ood.values()))
        return Histogram(inside, dict(zip(ood, outside, strict=True)))

    return Curves(
        reliability=_bins(p, pooling) if labelled else None,
        risk=_risk(p, pooling) if labelled else None,
        members=_members(p, pooling) if labelled else None,
        disagreement_MM=_disagreement(p.logits_MBC.argmax(-1)),
        entropy=histogram("entropy"),
        mutual_information=histogram("mutual_information"),
        msp=histogram("msp"),
    )


def _bins(p: Predictions, pooling: Pooling) -> Bins:
    bins = reliability(p, pooling=pooling)
    return Bins(_rounded(bins.confidence_K), _rounded(bins.accuracy_K), tuple(bins.count_K.tolist()))


def _risk(p: Predictions, pooling: Pooling) -> tuple[float, ...]:
    curve = risk_coverage(p, pooling=pooling)
    return tuple(float(f"{curve.risk_at(share):.5g}") for share in COVERAGE)


def _members(p: Predictions, pooling: Pooling) -> MembersCurve:
    sizes = range(1, p.num_members + 1) if p.num_members <= _MOST_SIZES else None
    return members_curve(p, sizes=sizes, subsets=10, pooling=pooling)


def _disagreement(predicted_MB: Tensor) -> tuple[tuple[float, ...], ...]:
    if len(predicted_MB) == 1:
        return ()
    rows = [(predicted_MB != predicted_B).double().mean(1) for predicted_B in predicted_MB]
    return tuple(tuple(float(f"{v:.5g}") for v in row.tolist()) for row in rows)


def _counts(uncertainty_B: Tensor) -> tuple[int, ...]:
    inner = torch.tensor(EDGES[1:-1], dtype=torch.float64)
    bin_B = torch.bucketize(uncertainty_B.double(), inner)
    return tuple(torch.bincount(bin_B, minlength=len(EDGES) - 1).tolist())


def _rounded(values_K: Tensor) -> tuple[float | None, ...]:
    return tuple(None if v != v else float(f"{v:.5g}") for v in values_K.tolist())
