"""Many runs at once: train, predict and score them, several at a time, into one folder with one report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.contracts import Dataset, Launcher
from lora_ensemble.errors import ConfigurationError, RunFolderError
from lora_ensemble.experiment import Experiment
from lora_ensemble.launchers.local import Local
from lora_ensemble.launching.work import Say, Work
from lora_ensemble.studies.places import read_by

if TYPE_CHECKING:
    from lora_ensemble.report import Results, RunResult

RUNS, RESULTS, REPORT = "runs", "results.json", "report.html"


@dataclass(frozen=True)
class Task:
    """One run of a comparison."""

    label: str
    """Its row in the table; runs of one label differ in nothing but the seed."""
    experiment: Experiment
    folder: Path
    ood: Mapping[str, Dataset] = field(default_factory=dict)
    """Out-of-distribution data sets by their label."""


@dataclass(frozen=True)
class News:
    """What a watcher is told of a task: it is at step `step` of `steps`, or has its result."""

    task: Task
    step: int = 0
    steps: int = 0
    result: RunResult | None = None


def compare(
    folder: Path,
    planned: Sequence[Task],
    results: Callable[[list[RunResult]], Results],
    workers: int | None = None,
    threads: int | None = None,
    first: Callable[[Task], bool] = lambda _: False,
    launcher: Launcher | None = None,
) -> Iterator[News]:
    """Train, predict and score the tasks, several at a time; finished ones are kept, interrupted ones resumed. Writes
    results.json and report.html in the end.

    results: what is written, of the tasks' results in their order. workers: tasks at a time; the launcher's own number
    if None, which is 1 on this machine. threads: of each process of this machine; they share the cores if None. first:
    which tasks of a seed to begin with (the long ones, so that no process waits for one in the end). launcher: where
    they are computed; in processes of this machine if None.

    Raises, before anything is yielded, ConfigurationError for an experiment whose parts do not fit, and RunFolderError
    for a folder that holds something else than a comparison, or runs of other settings.
    """
    if workers is not None and workers < 1:
        raise ConfigurationError([f"workers = {workers}: must be at least 1"])
    for task in planned:
        task.experiment.check()
    _claim(folder, planned)
    order = sorted(planned, key=lambda task: (task.experiment.seed, not first(task)))
    work = Work(
        one,
        order,
        [task.folder.name for task in order],
        folder,
        read_by([task.experiment for task in order], [dataset for task in order for dataset in task.ood.values()]),
        workers,
        threads or max(1, (os.cpu_count() or 1) // (workers or 1)),
    )
    return _run(planned, results, work, launcher or Local())


def _run(
    planned: Sequence[Task], results: Callable[[list[RunResult]], Results], work: Work, launcher: Launcher
) -> Iterator[News]:
    from lora_ensemble.report import RunResult, write_report

    found: dict[Path, RunResult] = {}
    for number, done, value in launcher.launch(work):
        task = work.tasks[number]
        if done:
            found[task.folder] = RunResult.from_dict(value)
            yield News(task, result=found[task.folder])
        else:
            yield News(task, *value)
    summed_up = results([found[task.folder] for task in planned])
    summed_up.save(work.folder / RESULTS)
    write_report(work.folder / REPORT, summed_up)


def _claim(folder: Path, planned: Sequence[Task]) -> None:
    from lora_ensemble.report.document import check_place as check_report
    from lora_ensemble.report.results import check_place as check_results
    from lora_ensemble.runs.folder import claim, locked

    present = {p.name for p in folder.glob("[!.]*")}
    if others := sorted(present - {RUNS, RESULTS, REPORT}):
        raise RunFolderError(f"{folder} holds other files (there is {others[0]!r}); give another with --output")
    check_report(folder / REPORT)
    check_results(folder / RESULTS)
    for task in planned:
        if task.folder.is_dir():
            with locked(task.folder):
                claim(task.folder, task.experiment)


def one(task: Task, say: Say) -> dict[str, Any]:
    """A task's result, as JSON values. Says the step, and the number of steps."""
    from lora_ensemble.runs.run import train
    from lora_ensemble.studies.groups import result

    finished = train(task.experiment, task.folder, on_progress=lambda p: say((p.step, p.total_steps)))
    return result([finished], task.label, ood=task.ood, examples=10).to_dict()
