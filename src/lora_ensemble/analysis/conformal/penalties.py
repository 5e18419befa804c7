"""Penalties of raps and saps: chosen, as published, on a part of the validation rows that then makes no promise."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from lora_ensemble.analysis.conformal.scores import SCORES, Settings
from lora_ensemble.analysis.conformal.uniforms import uniforms
from lora_ensemble.predictions import Predictions

SHARE = 0.3
"""Of the validation rows that penalties are chosen on."""
GRIDS = {
    "raps": (0.001, 0.01, 0.1, 0.2, 0.5),
    "saps": (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6),
}
"""Penalties that are tried: of Angelopoulos et al. 2021, appendix E, and of Huang et al. 2024."""
_SALT = 982_451_653
"""Makes the part another one than the random numbers of the scores would."""


def chosen(
    validation: Predictions, kind: str, coverage: float, free_ranks: int | None, seed: int
) -> tuple[Settings, Tensor]:
    """The settings, and (B,) bool which rows are left for the promise.

    raps: free ranks such that the label is among them with the promised coverage, where they are not given; then, as of
    saps, the penalty whose sets are the smallest on that part, the first of equals. With too few rows for a part of
    which the coverage can be promised, the defaults are taken and all rows are left."""
    defaults = Settings() if free_ranks is None else Settings(free_ranks=free_ranks)
    everything = torch.ones(len(validation), dtype=torch.bool)
    if kind not in GRIDS:
        return defaults, everything
    part_B = uniforms(validation, seed + _SALT) < SHARE
    part, rest = int(part_B.sum()), int((~part_B).sum())
    if rank_of(part, coverage) > part or rank_of(rest, coverage) > rest:
        return defaults, everything
    tuned, labels_B = validation.rows(part_B), validation.rows(part_B).labels_B
    assert labels_B is not None
    uniform_B, settings = uniforms(tuned, seed), defaults
    if kind == "raps" and free_ranks is None:
        ranks_B = SCORES["top-k"](tuned, uniform_B, defaults).gather(1, labels_B[:, None]).flatten()
        settings = Settings(free_ranks=int(ranks_B.sort().values[rank_of(part, coverage) - 1]))
    tried = [replace(settings, penalty=penalty) for penalty in GRIDS[kind]]
    return min(tried, key=lambda each: _size(tuned, labels_B, kind, coverage, uniform_B, each)), ~part_B


def rank_of(rows: int, coverage: float) -> int:
    """Which of the sorted scores is the threshold, 1 ..; above `rows` where none is high enough."""
    return math.ceil((rows + 1) * coverage - 1e-9)


def _size(p: Predictions, labels_B: Tensor, kind: str, coverage: float, uniform_B: Tensor, settings: Settings) -> float:
    """Mean size of the sets on the rows that they are fitted to."""
    scores_BC = SCORES[kind](p, uniform_B, settings)
    of_label_B = scores_BC.gather(1, labels_B[:, None]).flatten()
    threshold = of_label_B.sort().values[rank_of(len(p), coverage) - 1]
    return float((scores_BC <= threshold).sum(1).clamp(min=1).double().mean())
