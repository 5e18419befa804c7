"""Adaptive prediction: members are asked group after group, and a row stops when more of them would not change it.

The rule is fitted to stored validation predictions, on which every threshold can be tried without running anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from lora_ensemble.analysis.binomial import upper_bound
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.fitted import Fitted, Source
from lora_ensemble.predictions import Predictions

THRESHOLDS = tuple(n / 100 for n in range(100, -1, -1))
"""Least margins that are tried, from the strictest."""

Calibrate = Callable[[Predictions], Predictions]


@dataclass(frozen=True)
class Adaptive(Fitted):
    """When a row stops, and what that costs and loses on the validation rows. Built by `fit_adaptive`."""

    FORMAT: ClassVar[str] = "lora-ensemble-adaptive"

    margin: float = 1.0
    """A row stops when the pooled probability of its first class is so far above that of the second, by more than the
    standard error over the members that were asked."""
    cost: float = 0.0
    """Mean number of members asked of a validation row."""
    accuracy_lost: float = 0.0
    """Share of the validation rows that the whole ensemble has right and this has wrong, less the reverse."""
    accuracy_bound: float = 0.0
    """The share of rows turned from right to wrong is at most this, with `confidence` (exact binomial)."""
    nll_lost: float = 0.0
    """Mean rise of the negative log-likelihood, nats,"""
    nll_bound: float = 0.0
    """and what it does not exceed, with `confidence` (normal approximation of the mean)."""
    confidence: float = 0.95
    """Of the two bounds, for rows like those of validation."""

    def asked(self, logits_MBC: Tensor) -> Tensor:
        """(B,) how many members are asked of each row. It looks at no member that is not asked, so that members filled
        in by `filled` change nothing."""
        return _asked(_clear(logits_MBC), logits_MBC.shape[0], self.margin)

    def filled(self, p: Predictions) -> Predictions:
        """Predictions in which the members that would not be asked repeat those that are, in turn."""
        return replace(p, logits_MBC=filled(p.logits_MBC, self.asked(p.logits_MBC)))

    @property
    def words(self) -> str:
        """One sentence."""
        return (
            f"{self.cost:.2f} of {self.source.members} members asked of a row on validation ({self.source.rows} rows); "
            f"right answers turned wrong: at most {self.accuracy_bound:.2%}, NLL up by {self.nll_lost:+.4f}, at most "
            f"{self.nll_bound:.4f} nats (confidence {self.confidence:g})"
        )


def fit_adaptive(
    validation: Predictions,
    *,
    budget: float | None = None,
    max_loss: float | None = None,
    confidence: float = 0.95,
    calibration: Calibrate | None = None,
) -> Adaptive:
    """The rule that asks the fewest members under a bound, or loses the least within a budget.

    max_loss: with `confidence`, at most this share of all rows is turned from right to wrong; margins are tested from
    the strictest on, and the last is taken before the first that fails (Learn then Test: Angelopoulos et al. 2021).
    budget: mean number of members per row; the strictest margin that keeps to it on validation. validation: raw;
    `calibration` is what answers go through. Raises ConfigurationError for values out of range, DataError for one
    member, and for a bound that cannot be given, with the least that can.
    """
    if (budget is None) == (max_loss is None):
        raise ConfigurationError([f"budget = {budget}, max_loss = {max_loss}: give one of them"])
    if max_loss is not None and not 0 < max_loss < 1:
        raise ConfigurationError([f"max_loss = {max_loss}: must be above 0 and below 1, as in 0.002"])
    if budget is not None and not 1 <= budget < float("inf"):
        raise ConfigurationError([f"budget = {budget}: must be at least 1 member per row"])
    if validation.num_members < 2:
        raise DataError("adaptive prediction chooses how many members to ask, and this ensemble has one")
    source = Source.of(validation)
    if budget is not None:
        # The laxest margin, 0, stops every row after one member.
        return next(rule for rule in tried(source, validation, confidence, calibration) if rule.cost <= budget)
    assert max_loss is not None
    best: Adaptive | None = None
    for rule in tried(source, validation, confidence, calibration):
        if rule.accuracy_bound > max_loss:
            break
        best = rule
    if best is None or best.cost >= validation.num_members:
        least = upper_bound(0, len(validation), confidence)
        raise DataError(
            f"{len(validation)} validation rows cannot promise a loss of at most {max_loss} at confidence "
            f"{confidence}; with no row changed, the bound is {least:.4f}: give more validation rows, or a larger one"
        )
    return best


def tried(
    source: Source, validation: Predictions, confidence: float = 0.95, calibration: Calibrate | None = None
) -> list[Adaptive]:
    """The curve: the rule of every margin, from the strictest, with what it costs and loses on these rows."""
    through = calibration or (lambda p: p)
    whole_B, right_B = _of_labels(through(validation))
    n, z = len(validation), float(torch.special.ndtri(torch.tensor(confidence, dtype=torch.float64)))
    found, clear_KB = [], _clear(validation.logits_MBC)
    for margin in THRESHOLDS:
        asked_B = _asked(clear_KB, validation.num_members, margin)
        nll_B, own_right_B = _of_labels(through(replace(validation, logits_MBC=filled(validation.logits_MBC, asked_B))))
        harmed, lost_B = int((right_B & ~own_right_B).sum()), nll_B - whole_B
        found.append(
            Adaptive(
                source,
                margin,
                float(asked_B.double().mean()),
                float(right_B.double().mean() - own_right_B.double().mean()),
                upper_bound(harmed, n, confidence),
                float(lost_B.mean()),
                float(lost_B.mean() + z * lost_B.std() / n**0.5) if n > 1 else float("inf"),
                confidence,
            )
        )
    return found


def stages(members: int) -> list[int]:
    """How many members have been asked after each group: 1, 2, 3, 4, 6, 8, 12, 16 ... and all."""
    steps = sorted({1, *(2**n for n in range(1, 30)), *(3 * 2**n for n in range(30))})
    return [*(k for k in steps if k < members), members]


def clearness(logits_kBC: Tensor, members: int) -> Tensor:
    """(B,) how clear rows are after k of the members: the margin of the pooled probabilities less its standard error;
    infinite where the rest of the members cannot change the most probable class."""
    probs_kBC = torch.softmax(logits_kBC.detach().double().cpu(), -1)
    k = len(probs_kBC)
    top_B2 = probs_kBC.mean(0).topk(2).indices
    margin_kB = probs_kBC.gather(2, top_B2.expand(k, -1, -1)[:, :, :1]).squeeze(2) - probs_kBC.gather(
        2, top_B2.expand(k, -1, -1)[:, :, 1:]
    ).squeeze(2)
    mean_B = margin_kB.mean(0)
    error_B = margin_kB.std(0) / k**0.5 if k > 1 else torch.zeros_like(mean_B)
    return (mean_B - error_B).masked_fill(k * mean_B > members - k, float("inf"))


def filled(logits_MBC: Tensor, asked_B: Tensor) -> Tensor:
    """Member m of a row of which k were asked is member m modulo k."""
    members_M1 = torch.arange(len(logits_MBC))[:, None]
    index_MB1 = (members_M1 % asked_B)[..., None]
    return logits_MBC.gather(0, index_MB1.expand_as(logits_MBC))


def _clear(logits_MBC: Tensor) -> Tensor:
    """(K, B) how clear rows are after each group but the last."""
    members, rows = logits_MBC.shape[:2]
    parts = [clearness(logits_MBC[:k], members) for k in stages(members)[:-1]]
    return torch.stack(parts) if parts else torch.zeros(0, rows, dtype=torch.float64)


def _asked(clear_KB: Tensor, members: int, margin: float) -> Tensor:
    """(B,) the first group after which a row is clear."""
    always_B = torch.ones(1, clear_KB.shape[1], dtype=torch.bool)
    first_B = torch.cat([clear_KB >= margin, always_B]).int().argmax(0)
    return torch.tensor(stages(members))[first_B]


def _of_labels(p: Predictions) -> tuple[Tensor, Tensor]:
    """NLL of each row, nats, and whether its most probable class is the label."""
    assert p.labels_B is not None
    probs_BC = p.pooled_probs().double()
    of_label_B = probs_BC.gather(1, p.labels_B[:, None]).squeeze(1)
    smallest = torch.finfo(torch.float32).tiny
    return -of_label_B.clamp(min=smallest).log(), torch.eq(probs_BC.argmax(1), p.labels_B)
