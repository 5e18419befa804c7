"""members_curve: how scores change with the number of members."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_ensemble.analysis.scoring import applicable, compute
from lora_ensemble.errors import ConfigurationError, UnknownNameError
from lora_ensemble.predictions import Pooling, Predictions


@dataclass(frozen=True)
class MembersCurve:
    """Scores of ensembles of k of the members, over subsets of them."""

    sizes: tuple[int, ...]
    """Numbers of members k."""
    mean: dict[str, tuple[float, ...]]
    """By score: the mean over subsets, for each size."""
    std: dict[str, tuple[float, ...]]
    """By score: the standard deviation over subsets, for each size; 0 where there is one subset."""


def members_curve(
    p: Predictions,
    scores: Sequence[str] = ("accuracy", "nll", "ece_15", "total", "aleatoric", "epistemic"),
    sizes: Sequence[int] | None = None,
    *,
    ood: Mapping[str, Predictions] | None = None,
    subsets: int = 20,
    seed: int = 0,
    pooling: Pooling = "mean-of-probabilities",
) -> MembersCurve:
    """Scores of subsets of the members: for each size, all subsets or `subsets` random ones if there are more.

    sizes: default 1, 2, 4, ... and M. ood: predictions of the same members on OOD sets by their names, for scores such
    as `auroc_entropy[name]`. Raises UnknownNameError for a score that these predictions do not have,
    ConfigurationError for a size outside 1 .. M.
    """
    sets = {f"[{name}]": part for name, part in (ood or {}).items()}
    available = [*applicable(p), *(f"{name}{suffix}" for suffix, part in sets.items() for name in applicable(p, part))]
    for name in scores:
        if name not in available:
            raise UnknownNameError("score", name, available)
    M = p.num_members
    sizes = tuple(sizes) if sizes is not None else (*(2**i for i in range((M - 1).bit_length())), M)
    if problems := [f"sizes: {k} members of {M}, expected 1 to {M}" for k in sizes if not 1 <= k <= M]:
        raise ConfigurationError(problems)
    generator = torch.Generator().manual_seed(seed)
    p, sets = p.for_subsets(), {suffix: part.for_subsets() for suffix, part in sets.items()}
    drawn = []
    for size in sizes:
        chosen = _subsets(M, size, subsets, generator)
        parts = [_scores(p, sets, members, scores, pooling) for members in chosen]
        drawn.append({name: torch.stack([part[name] for part in parts]) for name in scores})
    return MembersCurve(
        sizes=sizes,
        mean={name: tuple(float(values[name].mean()) for values in drawn) for name in scores},
        std={name: tuple(float(values[name].std(correction=0)) for values in drawn) for name in scores},
    )


def _scores(
    p: Predictions, sets: Mapping[str, Predictions], members: Sequence[int], scores: Sequence[str], pooling: Pooling
) -> dict[str, Tensor]:
    """Of one subset of the members."""

    def computed(suffix: str, other: Predictions | None) -> dict[str, Tensor]:
        names = [
            name.removesuffix(suffix) for name in scores if name.endswith(suffix) and ("[" in name) == bool(suffix)
        ]
        if not names:
            return {}
        samples = len(part) if other is None else len(part) + len(other)
        ones = torch.ones(1, samples, dtype=torch.float64)
        values = compute(part, ones, ood=other, pooling=pooling, names=names)
        return {f"{name}{suffix}": values_R[0] for name, values_R in values.items()}

    part = p.members(members)
    values = computed("", None)
    for suffix, other in sets.items():
        values |= computed(suffix, other.members(members))
    return values


def _subsets(members: int, size: int, limit: int, generator: torch.Generator) -> list[tuple[int, ...]]:
    """All subsets of a size, or `limit` different random ones."""
    if math.comb(members, size) <= limit:
        return list(itertools.combinations(range(members), size))
    found: set[tuple[int, ...]] = set()
    while len(found) < limit:
        found.add(tuple(sorted(torch.randperm(members, generator=generator)[:size].tolist())))
    return sorted(found)
