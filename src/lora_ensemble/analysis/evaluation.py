"""evaluate: every score of a set of predictions, with intervals over samples."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lora_ensemble.analysis.bootstrap import interval, resample_counts
from lora_ensemble.analysis.scores import Scores
from lora_ensemble.analysis.scoring import compute
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.predictions import Pooling, Predictions


def evaluate(
    p: Predictions,
    ood: Predictions | Mapping[str, Predictions] | None = None,
    *,
    intervals: bool = True,
    resamples: int = 1000,
    seed: int = 0,
    pooling: Pooling = "mean-of-probabilities",
) -> Scores:
    """Scores of the ensemble, over the whole split, and of each member alone.

    ood: predictions of the same members on data from elsewhere. One set yields `auroc_msp` and so on; a mapping of
    sets yields `auroc_msp[name]` for each name.
    intervals: 95 % percentile intervals of `resamples` bootstrap resamples of the samples (of the split and of an
    OOD set, each for itself). They say how far the samples carry, not how much another training run would differ.
    Those of ECE share its upward bias on few samples.
    pooling: how members become one distribution; uncertainties are always those of the mean of probabilities.

    Without labels, scores that need them are left out. With one member `disagreement` and `divergence` are NaN.
    Raises DataError for OOD predictions of other members or classes, UnknownNameError for a pooling,
    ConfigurationError for `resamples` below 1.
    """
    if resamples < 1:
        raise ConfigurationError([f"resamples = {resamples}: must be at least 1"])
    sets = {"": ood} if isinstance(ood, Predictions) else {f"[{name}]": part for name, part in (ood or {}).items()}
    for suffix, part in sets.items():
        _check_same_ensemble(p, part, suffix)
    point = _points(p, sets, pooling)
    drawn = _resampled(p, sets, resamples, seed, pooling) if intervals else {}
    alone = []
    for m in range(p.num_members):
        member_sets = {suffix: part.members([m]) for suffix, part in sets.items()}
        alone.append(_points(p.members([m]), member_sets, pooling))
    about = {"members": p.num_members, "samples": len(p), "pooling": pooling}
    return Scores(
        point=point,
        intervals={name: interval(values_R) for name, values_R in drawn.items()},
        per_member={name: tuple(scores[name] for scores in alone) for name in point},
        about={**about, "resamples": resamples, "seed": seed} if intervals else about,
    )


def _points(p: Predictions, sets: Mapping[str, Predictions], pooling: Pooling) -> dict[str, float]:
    """The values themselves. By a product of one row whatever is resampled beside it: the same bits every time."""
    counts = {suffix: torch.ones(1, len(part), dtype=torch.float64) for suffix, part in sets.items()}
    values = _scores(p, sets, torch.ones(1, len(p), dtype=torch.float64), counts, pooling)
    return {name: float(value_R) for name, value_R in values.items()}


def _resampled(
    p: Predictions, sets: Mapping[str, Predictions], resamples: int, seed: int, pooling: Pooling
) -> dict[str, Tensor]:
    """(resamples,) values by name."""
    generator = torch.Generator().manual_seed(seed)
    counts_RB = resample_counts(len(p), resamples, generator)
    counts = {suffix: resample_counts(len(part), resamples, generator) for suffix, part in sets.items()}
    return _scores(p, sets, counts_RB, counts, pooling)


def _scores(
    p: Predictions,
    sets: Mapping[str, Predictions],
    counts_RB: Tensor,
    ood_counts: Mapping[str, Tensor],
    pooling: Pooling,
) -> dict[str, Tensor]:
    """(R,) values by name; those of the OOD sets end with the set's suffix."""
    values = compute(p, counts_RB, pooling=pooling)
    for suffix, ood in sets.items():
        detection = compute(p, torch.cat([counts_RB, ood_counts[suffix]], 1), ood=ood, pooling=pooling)
        values.update({f"{name}{suffix}": values_R for name, values_R in detection.items()})
    return values


def _check_same_ensemble(p: Predictions, ood: Predictions, suffix: str) -> None:
    for what in ("num_members", "num_classes"):
        own, other = getattr(p, what), getattr(ood, what)
        if own != other:
            unit = what.removeprefix("num_")
            raise DataError(f"the OOD predictions{suffix} have {other} {unit}, expected {own}: the same ensemble's")
