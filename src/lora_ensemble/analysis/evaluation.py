"""evaluate: every score of a set of predictions, with intervals over samples."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lora_ensemble.analysis.bootstrap import in_parts, interval, resample_counts
from lora_ensemble.analysis.known import Known
from lora_ensemble.analysis.scores import Scores
from lora_ensemble.analysis.scoring import Scorer
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
    reference: Predictions | None = None,
) -> Scores:
    """Scores of the ensemble, over the whole split, and of each member alone.

    ood: predictions of the same members on data from elsewhere. One set yields `auroc_msp` and so on, three scores for
    each uncertainty (`lora-ensemble list uncertainties`); a mapping of sets yields `auroc_msp[name]` for each name.
    intervals: 95 % percentile intervals of `resamples` bootstrap resamples of the samples (of the split and of an
    OOD set, each for itself). They say how far the samples carry, not how much another training run would differ.
    Those of calibration errors share their upward bias on few samples.
    pooling: how members become one distribution; uncertainties are always those of the mean of probabilities.
    reference: labelled predictions of the same members on training or validation samples, with hidden features; adds
    the uncertainties that compare features with it (`mahalanobis`, `knn`, `vim`).

    Without labels, scores that need them are left out; so are uncertainties that need logits, of what was made from
    probabilities. With one member, scores of disagreement are NaN. Raises DataError for OOD predictions of other
    members or classes, UnknownNameError for a pooling, ConfigurationError for `resamples` below 1.
    """
    if resamples < 1:
        raise ConfigurationError([f"resamples = {resamples}: must be at least 1"])
    sets = {"": ood} if isinstance(ood, Predictions) else {f"[{name}]": part for name, part in (ood or {}).items()}
    for suffix, part in sets.items():
        check_same_ensemble(p, part, suffix)
    scorers = _scorers(p, sets, pooling, reference)
    point = _points(p, sets, scorers)
    drawn = _resampled(p, sets, scorers, resamples, seed) if intervals else {}
    alone = [_alone(p, sets, m, pooling, reference) for m in range(p.num_members)] if p.num_members > 1 else [point]
    about = {"members": p.num_members, "samples": len(p), "pooling": pooling}
    return Scores(
        point=point,
        intervals={name: interval(values_R) for name, values_R in drawn.items()},
        per_member={name: tuple(scores[name] for scores in alone) for name in point},
        about={**about, "resamples": resamples, "seed": seed} if intervals else about,
    )


def _scorers(
    p: Predictions, sets: Mapping[str, Predictions], pooling: Pooling, reference: Predictions | None
) -> list[Scorer]:
    """Of the predictions by themselves, then of each OOD set."""
    known = Known(p, pooling, reference)
    against = [Scorer(known, Known(part, pooling, reference)) for part in sets.values()]
    return [Scorer(known), *against]


def _points(p: Predictions, sets: Mapping[str, Predictions], scorers: list[Scorer]) -> dict[str, float]:
    """The values themselves. By a product of one row whatever is resampled beside it: the same bits every time."""
    values: dict[str, float] = {}
    for suffix, others, scorer in zip(["", *sets], [0, *map(len, sets.values())], scorers, strict=True):
        once = torch.ones(1, len(p) + others, dtype=torch.float64)
        values |= {f"{name}{suffix}": float(value_R) for name, value_R in scorer(once).items()}
    return values


def _alone(
    p: Predictions, sets: Mapping[str, Predictions], m: int, pooling: Pooling, reference: Predictions | None
) -> dict[str, float]:
    """The values of one member."""
    own = {suffix: part.members([m]) for suffix, part in sets.items()}
    known = None if reference is None else reference.members([m])
    return _points(p.members([m]), own, _scorers(p.members([m]), own, pooling, known))


def _resampled(
    p: Predictions, sets: Mapping[str, Predictions], scorers: list[Scorer], resamples: int, seed: int
) -> dict[str, Tensor]:
    """(resamples,) values by name; those of the OOD sets end with the set's suffix."""
    generator = torch.Generator().manual_seed(seed)
    counts_RB = resample_counts(len(p), resamples, generator)
    values: dict[str, list[Tensor]] = {}
    for suffix, scorer in zip(["", *sets], scorers, strict=True):
        beside = [resample_counts(len(sets[suffix]), resamples, generator)] if len(scorer.parts) > 1 else []
        for part_RB in in_parts([counts_RB, *beside]):
            for name, values_R in scorer(part_RB).items():
                values.setdefault(f"{name}{suffix}", []).append(values_R)
    return {name: torch.cat(parts) for name, parts in values.items()}


def check_same_ensemble(p: Predictions, ood: Predictions, suffix: str) -> None:
    """Raises DataError for other members or classes."""
    for what in ("num_members", "num_classes"):
        own, other = getattr(p, what), getattr(ood, what)
        if own != other:
            unit = what.removeprefix("num_")
            raise DataError(f"the OOD predictions{suffix} have {other} {unit}, expected {own}: the same ensemble's")
