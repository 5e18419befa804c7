"""Quickstart: every method on the built-in digits, side by side, under the same number of steps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble import registry
from lora_ensemble.errors import ConfigurationError, RunFolderError
from lora_ensemble.experiment import Experiment
from lora_ensemble.processes import Say, in_processes

if TYPE_CHECKING:
    from lora_ensemble.report import Results, RunResult

METHODS = ("single", "single-lora", "mc-dropout", "snapshot", "deep", "lora")
OOD = "letters"
RUNS, RESULTS, REPORT = "runs", "results.json", "report.html"


@dataclass(frozen=True)
class Task:
    """One run: a method with a seed."""

    method: str
    experiment: Experiment
    folder: Path


@dataclass(frozen=True)
class News:
    """What a watcher is told of a task: it is at step `step` of `steps`, or has its result."""

    task: Task
    step: int = 0
    steps: int = 0
    result: RunResult | None = None


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
            experiment.check()
            planned.append(Task(method, experiment, folder / RUNS / f"{experiment.name}-seed{seed}"))
    return planned


def _changed(experiment: Experiment, seed: int, members: int | None, epochs: int | None) -> Experiment:
    method, training = experiment.method, experiment.training
    if members is not None and method.members > 1:
        method = replace(method, members=members)
    # Networks as small as this one are no faster on a GPU.
    training = replace(training, epochs=epochs or training.epochs, device="cpu")
    return replace(experiment, method=method, training=training, seed=seed)


def run(folder: Path, planned: Sequence[Task], workers: int | None = None) -> Iterator[News]:
    """Train, predict and score the tasks, several at a time; finished ones are kept, interrupted ones resumed. Writes
    results.json and report.html in the end.

    workers: number of processes; one for each core, up to four, if None. Raises RunFolderError, before anything is
    yielded, for a folder that holds something else than a quickstart, or runs of other settings.
    """
    if workers is not None and workers < 1:
        raise ConfigurationError([f"workers = {workers}: must be at least 1"])
    _check(folder, planned)
    return _run(folder, planned, workers or min(4, os.cpu_count() or 1))


def _run(folder: Path, planned: Sequence[Task], workers: int) -> Iterator[News]:
    from lora_ensemble.report import RunResult, write_report

    # Of each seed the long ones first, so that no process waits for one in the end.
    order = sorted(planned, key=lambda task: (task.experiment.seed, task.method not in ("deep", "lora")))
    results: dict[Path, RunResult] = {}
    for number, done, value in in_processes(one, order, workers):
        task = order[number]
        if done:
            results[task.folder] = RunResult.from_dict(value)
            yield News(task, result=results[task.folder])
        else:
            yield News(task, *value)
    summed_up = _results([results[task.folder] for task in planned], planned)
    summed_up.save(folder / RESULTS)
    write_report(folder / REPORT, summed_up)


def _check(folder: Path, planned: Sequence[Task]) -> None:
    from lora_ensemble.runs.folder import claim, locked

    present = {p.name for p in folder.glob("[!.]*")}
    if others := sorted(present - {RUNS, RESULTS, REPORT}):
        raise RunFolderError(f"{folder} is not a quickstart's: there is {others[0]!r}; give another with --output")
    for task in planned:
        if task.folder.is_dir():
            with locked(task.folder):
                claim(task.folder, task.experiment)


def one(task: Task, say: Say) -> dict[str, Any]:
    """A task's result, as JSON values. Says the step, and the number of steps."""
    from lora_ensemble.runs.groups import result
    from lora_ensemble.runs.run import train

    finished = train(task.experiment, task.folder, on_progress=lambda p: say((p.step, p.total_steps)))
    return result([finished], task.method, ood=OOD, examples=10).to_dict()


def _results(runs: Sequence[RunResult], planned: Sequence[Task]) -> Results:
    from lora_ensemble.quickstart_summary import sentences
    from lora_ensemble.report import Results

    first = planned[0].experiment
    about = {
        "data": f"handwritten digits, {getattr(first.dataset, 'train_examples', '?')} to train on",
        "scored on": f"{runs[0].scores.about['samples']} test digits",
        "out of distribution": "printed letters",
        "training": f"{first.training.epochs} epochs for every network",
        "seeds": str(len({task.experiment.seed for task in planned})),
    }
    return Results("Ways to make an ensemble, on handwritten digits", tuple(runs), " ".join(sentences(runs)), about)
