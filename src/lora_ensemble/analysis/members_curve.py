"""members_curve: how scores change with the number of members."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

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
    scores: Sequence[str] = ("accuracy", "nll", "ece_15"),
    sizes: Sequence[int] | None = None,
    *,
    subsets: int = 20,
    seed: int = 0,
    pooling: Pooling = "mean-of-probabilities",
) -> MembersCurve:
    """Scores of subsets of the members: for each size, all subsets or `subsets` random ones if there are more.

    sizes: default 1, 2, 4, ... and M. Raises UnknownNameError for a score that these predictions
    do not have, ConfigurationError for a size outside 1 .. M.
    """
    available = applicable(p)
    for name in scores:
        if name not in available:
            raise UnknownNameError("score", name, available)
    M = p.num_members
    sizes = tuple(sizes) if sizes is not None else (*(2**i for i in range((M - 1).bit_length())), M)
    if problems := [f"sizes: {k} members of {M}, expected 1 to {M}" for k in sizes if not 1 <= k <= M]:
        raise ConfigurationError(problems)
    generator = torch.Generator().manual_seed(seed)
    ones = torch.ones(1, len(p), dtype=torch.float64)
    drawn = []
    for size in sizes:
        chosen = _subsets(M, size, subsets, generator)
        parts = [compute(p.members(members), ones, pooling=pooling, names=scores) for members in chosen]
        drawn.append({name: torch.stack([part[name][0] for part in parts]) for name in scores})
    return MembersCurve(
        sizes=sizes,
        mean={name: tuple(float(values[name].mean()) for values in drawn) for name in scores},
        std={name: tuple(float(values[name].std(correction=0)) for values in drawn) for name in scores},
    )


def _subsets(members: int, size: int, limit: int, generator: torch.Generator) -> list[tuple[int, ...]]:
    """All subsets of a size, or `limit` different random ones."""
    if math.comb(members, size) <= limit:
        return list(itertools.combinations(range(members), size))
    found: set[tuple[int, ...]] = set()
    while len(found) < limit:
        found.add(tuple(sorted(torch.randperm(members, generator=generator)[:size].tolist())))
    return sorted(found)
