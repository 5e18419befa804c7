"""paired: is one method better than another on the same samples, by a paired bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lora_ensemble.analysis.bootstrap import in_parts, interval, resample_counts
from lora_ensemble.analysis.known import Known
from lora_ensemble.analysis.scoring import Scorer, applicable, better
from lora_ensemble.errors import ConfigurationError, DataError, UnknownNameError
from lora_ensemble.predictions import Predictions


@dataclass(frozen=True)
class Paired:
    """A difference of two methods on the same samples."""

    score: str
    difference: float
    """a's value less b's."""
    interval: tuple[float, float]
    """95 % bootstrap interval of the difference."""
    p_value: float
    """Two-sided: how often resamples put the difference on the other side of 0, twice; at least 1 / (resamples + 1)."""
    a_is_better: bool
    """Whether the value itself is better for a, by the score's direction."""


def paired(a: Predictions, b: Predictions, score: str, *, resamples: int = 1000, seed: int = 0) -> Paired:
    """Compare two methods on the same samples: each resample draws the same samples for both.

    Raises DataError for other samples or labels, UnknownNameError for a score that they do not have,
    ConfigurationError for a score of which neither way is better.
    """
    if a.ids != b.ids or len(a) != len(b):
        raise DataError("a paired comparison needs the same samples in the same order")
    if a.labels_B is not None and b.labels_B is not None and not torch.equal(a.labels_B, b.labels_B):
        raise DataError("a paired comparison needs the same labels")
    for p in (a, b):
        if score not in (available := applicable(p)):
            raise UnknownNameError("score", score, available)
    direction = better(score)
    if direction is None:
        raise ConfigurationError([f"score = {score}: neither higher nor lower values of it are better"])
    scorers = [Scorer(Known(p), names=[score]) for p in (a, b)]
    once = torch.ones(1, len(a), dtype=torch.float64)
    difference = float(scorers[0](once)[score] - scorers[1](once)[score])
    counts_RB = resample_counts(len(a), resamples, torch.Generator().manual_seed(seed))
    drawn_R = torch.cat([scorers[0](part)[score] - scorers[1](part)[score] for part in in_parts([counts_RB])])
    below, above = int((drawn_R <= 0).sum()), int((drawn_R >= 0).sum())
    p_value = min(1.0, 2 * (min(below, above) + 1) / (resamples + 1))
    wins = difference > 0 if direction == "higher" else difference < 0
    return Paired(score, difference, interval(drawn_R), p_value, wins)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """p-values of several comparisons, corrected so that any false claim among them is as rare as one alone would be
    (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda k: p_values[k])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, k in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[k]))
        corrected[k] = largest
    return tuple(corrected)
