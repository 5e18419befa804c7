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
    drawn = _scores(p, sets, resamples if intervals else 0, seed, pooling)
    alone = []
    for m in range(p.num_members):
        member_sets = {suffix: part.members([m]) for suffix, part in sets.items()}
        alone.append(_scores(p.members([m]), member_sets, 0, seed, pooling))
    about = {"members": p.num_members, "samples": len(p), "pooling": pooling}
    return Scores(
        point={name: float(values_R[0]) for name, values_R in drawn.items()},
        intervals={name: interval(values_R[1:]) for name, values_R in drawn.items()} if intervals else {},
        per_member={name: tuple(float(scores[name]) for scores in alone) for name in drawn},
        about={**about, "resamples": resamples, "seed": seed} if intervals else about,
    )


def _scores(
    p: Predictions, sets: Mapping[str, Predictions], resamples: int, seed: int, pooling: Pooling
) -> dict[str, Tensor]:
    """(1 + resamples,) values by name; those of the OOD sets end with the set's suffix."""
    generator = torch.Generator().manual_seed(seed)
    counts_RB = resample_counts(len(p), resamples, generator)
    values = compute(p, counts_RB, pooling=pooling)
    for suffix, ood in sets.items():
        both_RB = torch.cat([counts_RB, resample_counts(len(ood), resamples, generator)], 1)
        detection = compute(p, both_RB, ood=ood, pooling=pooling)
        values.update({f"{name}{suffix}": values_R for name, values_R in detection.items()})
    return values


def _check_same_ensemble(p: Predictions, ood: Predictions, suffix: str) -> None:
    for what in ("num_members", "num_classes"):
        own, other = getattr(p, what), getattr(ood, what)
        if own != other:
            unit = what.removeprefix("num_")
            raise DataError(f"the OOD predictions{suffix} have {other} {unit}, expected {own}: the same ensemble's")
