"""Abstention: keep the answers that are certain enough, with a promise on how many of them are wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lora_ensemble.analysis.binomial import Share, upper_bound
from lora_ensemble.analysis.kept_counts import KeptCounts, at_least, best_risk, largest_promised, smallest_covering
from lora_ensemble.analysis.uncertainty import uncertainty
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.fitted import Fitted, Source
from lora_ensemble.predictions import Predictions


@dataclass(frozen=True, eq=False)
class Kept:
    """Which rows an answer is given for, and which go to a person."""

    keep_B: Tensor
    """(B,) bool."""
    uncertainty_B: Tensor
    """(B,) float64, what was compared with the threshold."""
    wrong_B: Tensor | None = None
    """(B,) bool: whether the most probable class is not the label, where labels are known."""

    @property
    def coverage(self) -> Share:
        """Share of the rows that are kept, with its exact 95 % interval."""
        return Share.of(int(self.keep_B.sum()), len(self.keep_B))

    @property
    def risk(self) -> Share:
        """Share of the kept rows that are wrong. Raises DataError for rows without labels."""
        if self.wrong_B is None:
            raise DataError("a risk is measured by labels, and these predictions have none")
        return Share.of(int((self.keep_B & self.wrong_B).sum()), int(self.keep_B.sum()))


@dataclass(frozen=True)
class Abstention(Fitted):
    """Call it with predictions of the same ensemble: it gives `Kept`. Built by `abstain`."""

    FORMAT: ClassVar[str] = "lora-ensemble-abstention"

    threshold: float = 0.0
    """Rows of at most this uncertainty are kept."""
    by: str = "total"
    """The uncertainty."""
    confidence: float = 0.95
    """Probability, over validation sets, with which the promise holds."""
    risk: float | None = None
    """Promised: at most this share of the kept rows is wrong."""
    coverage: float | None = None
    """Promised: at least this share of the rows is kept."""
    kept: int = 0
    """Rows of validation that would be kept,"""
    wrong: int = 0
    """and how many of them are wrong."""

    @property
    def risk_bound(self) -> float:
        """An upper bound of the risk at this threshold alone (exact binomial, one-sided, at `confidence`)."""
        return upper_bound(self.wrong, self.kept, self.confidence)

    def __call__(self, p: Predictions) -> Kept:
        """Raises DataError for predictions of another ensemble, or without this uncertainty."""
        self.source.check(p)
        uncertainty_B = uncertainty(p, self.by)
        return Kept(uncertainty_B <= self.threshold, uncertainty_B, None if p.labels_B is None else _wrong(p))


def abstain(
    validation: Predictions,
    risk: float | None = None,
    confidence: float = 0.95,
    by: str = "total",
    *,
    coverage: float | None = None,
) -> Abstention:
    """Fit the threshold on an uncertainty that keeps the most rows of those for which the promise can be given: for
    rows like those of validation, with probability `confidence` over validation sets,

    - risk: at most this share of the kept answers is wrong (default 0.05, where no coverage is given), or
    - coverage: at least this share of the rows is kept.

    The risk is tested at every threshold that validation offers, exactly (binomial), in fixed sequences that begin at
    a half, a quarter, an eighth ... of the rows and share 1 - confidence among them, each going on to larger thresholds
    while its tests reject (Learn then Test: Angelopoulos et al. 2021). It assumes that the risk, once above the target,
    stays there as the threshold rises. by: any uncertainty, see `lora-ensemble list uncertainties`.

    Raises DataError for a promise that these rows cannot give, with the best that they can; for predictions without
    labels, of the test split, or without this uncertainty. ConfigurationError for targets outside of 0 .. 1.
    """
    if risk is not None and coverage is not None:
        raise ConfigurationError([f"risk = {risk}, coverage = {coverage}: give one of them"])
    risk = 0.05 if risk is None and coverage is None else risk
    for name, value in (("risk", risk), ("coverage", coverage), ("confidence", confidence)):
        if value is not None and not 0 < value < 1:
            raise ConfigurationError([f"{name} = {value}: must be between 0 and 1"])
    source = Source.of(validation)
    rows = f"{len(validation)} validation rows"
    counts = KeptCounts.of(uncertainty(validation, by), _wrong(validation))
    if risk is not None:
        at = largest_promised(counts, risk, confidence)
        if at is None:
            best, best_at = best_risk(counts, confidence)
            raise DataError(
                f"{rows} cannot promise a risk of {risk} at confidence {confidence} by {by!r}; "
                f"the best is {at_least(best)}, which keeps {counts.kept[best_at] / len(validation):.1%} of the rows"
            )
    else:
        assert coverage is not None
        at = smallest_covering(counts, coverage, confidence)
        if at is None:
            best = (1 - confidence) ** (1 / len(validation))
            raise DataError(
                f"{rows} cannot promise a coverage of {coverage} at confidence {confidence}; "
                f"the best is {int(best * 1e4) / 1e4}"
            )
    kept, wrong = int(counts.kept[at]), int(counts.wrong[at])
    return Abstention(source, float(counts.threshold[at]), by, float(confidence), risk, coverage, kept, wrong)


def _wrong(p: Predictions) -> Tensor:
    assert p.labels_B is not None
    return torch.ne(p.pooled_probs().argmax(1), p.labels_B)
