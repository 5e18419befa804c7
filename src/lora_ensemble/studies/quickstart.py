"""Quickstart: every method on the built-in digits, side by side, under the same number of steps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lora_ensemble import registry
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.experiment import Experiment
from lora_ensemble.studies.comparing import RUNS, News, Task, compare

if TYPE_CHECKING:
    from lora_ensemble.report import Results, RunResult

METHODS = ("single", "single-lora", "mc-dropout", "snapshot", "deep", "lora")
OOD = "letters"


def tasks(folder: Path, seeds: int, members: int | None = None, epochs: int | None = None) -> list[Task]:
    """The runs of a quickstart in `folder`. members, epochs: those of the recipes if None.

    Raises ConfigurationError for a number below 1.
    """
    given = {"seeds": seeds, "members": members, "epochs": epochs}
    if problems := [f"{k} = {v}: must be at least 1" for k, v in given.items() if v is not None and v < 1]:
        raise ConfigurationError(problems)
    planned = []
    for seed in range(seeds):
        for method in METHODS:
            experiment = _changed(registry.recipe(f"digits-{method}"), seed, members, epochs)
            where = folder / RUNS / f"{experiment.name}-seed{seed}"
            planned.append(Task(method, experiment, where, {OOD: registry.config_class("datasets", OOD)()}))
    return planned


def _changed(experiment: Experiment, seed: int, members: int | None, epochs: int | None) -> Experiment:
    method, training = experiment.method, experiment.training
    if members is not None and method.members > 1:
        method = replace(method, members=members)
    # Networks as small as this one are no faster on a GPU.
    training = replace(training, epochs=epochs or training.epochs, device="cpu")
    return replace(experiment, method=method, training=training, seed=seed)


def run(folder: Path, planned: Sequence[Task], workers: int | None = None) -> Iterator[News]:
    """Train, predict and score the tasks as `compare` does. workers: one process for each core, up to four, if None."""
    return compare(
        folder,
        planned,
        partial(_results, planned=planned),
        min(4, os.cpu_count() or 1) if workers is None else workers,
        threads=1,
        first=lambda task: task.label in ("deep", "lora"),
    )


def _results(runs: Sequence[RunResult], planned: Sequence[Task]) -> Results:
    from lora_ensemble.report import Results
    from lora_ensemble.studies.quickstart_summary import sentences

    first = planned[0].experiment
    about = {
        "data": f"handwritten digits, {getattr(first.dataset, 'train_examples', '?')} to train on",
        "scored on": f"{runs[0].scores.about['samples']} test digits",
        "out of distribution": "printed letters",
        "training": f"{first.training.epochs} epochs for every network",
        "seeds": str(len({task.experiment.seed for task in planned})),
    }
    return Results("Ways to make an ensemble, on handwritten digits", tuple(runs), " ".join(sentences(runs)), about)
