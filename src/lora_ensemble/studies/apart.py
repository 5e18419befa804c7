"""Runs and predictions of any number, computed wherever a launcher has room, for a command that then goes on here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lora_ensemble.contracts import Dataset, Launcher
from lora_ensemble.experiment import Experiment
from lora_ensemble.launching.work import Say, Work
from lora_ensemble.runs.run import Run, train
from lora_ensemble.studies.places import read_by

Told = Callable[[str, Any], None]
"""Called with the name of a task, and the progress of its training, or the words that it said."""


def train_apart(
    planned: Mapping[Path, Experiment], folder: Path, launcher: Launcher, workers: int | None, tell: Told
) -> None:
    """Train a run in each of the folders, as `runs.run.train` does. folder: in which they are.

    Raises what `train` raises."""
    for experiment in planned.values():
        experiment.check()
    names = [place.name for place in planned]
    work = Work(_trained, list(planned.items()), names, folder, read_by(planned.values()), workers)
    for number, done, value in launcher.launch(work):
        if not done:
            tell(names[number], value)


def _trained(task: tuple[Path, Experiment], say: Say) -> None:
    folder, experiment = task
    train(experiment, folder, on_progress=say)


def predict_epochs_apart(
    run: Run,
    chosen: Sequence[tuple[str, Dataset | None]],
    epochs: Sequence[int],
    launcher: Launcher,
    workers: int | None,
    tell: Told,
) -> None:
    """Predict splits with the weights after epochs, a task for each; the predictions stay in the run.

    chosen: a split each, of the run's data set or of another."""
    tasks = [(run.folder, split, dataset, epoch) for split, dataset in chosen for epoch in epochs]
    names = [f"{run.folder.name}, {split}, epoch {epoch}" for _, split, _, epoch in tasks]
    others = [dataset for _, dataset in chosen if dataset is not None]
    work = Work(_predicted, tasks, names, run.folder.absolute().parent, read_by([run.experiment], others), workers)
    for number, done, _ in launcher.launch(work):
        if done:
            tell(names[number], "done")


def _predicted(task: tuple[Path, str, Dataset | None, int], say: Say) -> None:
    folder, split, dataset, epoch = task
    Run(folder).predict(split, dataset, epoch=epoch)
