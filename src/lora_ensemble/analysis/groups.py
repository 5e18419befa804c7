"""evaluate_groups: every score for each group of samples, and the worst group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from lora_ensemble.analysis.evaluation import evaluate
from lora_ensemble.analysis.scores import Scores
from lora_ensemble.analysis.scoring import better
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.predictions import Predictions


def evaluate_groups(p: Predictions, groups: Sequence[Any], **options: Any) -> dict[str, Scores]:
    """Scores of the samples of each group, by its name, in the order in which groups first come.

    groups: (B,) values, one for each sample. options: those of `evaluate`. Intervals of a group of a few samples are
    wide, and say so. Raises DataError for another number of values.
    """
    if len(groups) != len(p):
        raise DataError(f"there are {len(groups)} groups, expected {len(p)}: one for each sample")
    names = [str(value) for value in groups]
    rows = {name: torch.tensor([other == name for other in names]) for name in dict.fromkeys(names)}
    return {name: evaluate(p.rows(chosen), **options) for name, chosen in rows.items()}


def worst_group(by_group: dict[str, Scores], score: str) -> str:
    """The group with the worst value of a score; those without one count for nothing.

    Raises ConfigurationError for a score of which neither way is better, DataError where no group has it.
    """
    direction = better(score)
    if direction is None:
        raise ConfigurationError([f"score = {score}: neither higher nor lower values of it are better"])
    values = {name: scores[score] for name, scores in by_group.items() if scores.get(score, torch.nan) == scores[score]}
    if not values:
        raise DataError(f"no group has the score {score}")
    choose = min if direction == "higher" else max
    return choose(values, key=lambda name: values[name])
