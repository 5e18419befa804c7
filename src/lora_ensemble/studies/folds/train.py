"""Cross-validation: any experiment on every fold of its data set, a run for each fold in one folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from lora_ensemble import registry
from lora_ensemble.contracts import Launcher
from lora_ensemble.errors import ConfigurationError, RunFolderError, UserError
from lora_ensemble.experiment import Experiment
from lora_ensemble.launchers.local import Local
from lora_ensemble.launching.work import Say, Work
from lora_ensemble.runs.folder import begun, claim, is_main_process, locked, same_experiment
from lora_ensemble.runs.records import FINISHED, RUN, write_run
from lora_ensemble.runs.run import train
from lora_ensemble.studies.folds.read import RECORD, CrossValidation, folder_name
from lora_ensemble.studies.places import read_by
from lora_ensemble.training.progress import Progress, TerminalProgress

OnFoldProgress = Callable[[int, Progress], None]
"""Called with the number of a fold and the progress of its run."""


def cross_validate(
    experiment: Experiment,
    folder: str | Path,
    *,
    folds: Sequence[int] | None = None,
    jobs: int | None = None,
    on_progress: OnFoldProgress | None = None,
    launcher: Launcher | None = None,
) -> CrossValidation:
    """Train the experiment once for each fold, on the others, and predict the fold with it.

    The same call again continues where it was interrupted, and keeps finished folds. folds: only these; later calls may
    add others to the same folder, also at the same time. jobs: folds at a time, each in a process of its own; they
    share the cores; one after another in this process if None. on_progress: receives the progress; a display on stderr
    if None. launcher: where they are computed; on this machine if None.

    Raises ConfigurationError for a data set without folds, for a fold that does not exist and for parts that do not
    fit; RunFolderError for a folder that holds anything else; and what `train` raises.
    """
    planned = fold_experiments(experiment, folds)
    _check(planned, jobs)
    folder = Path(folder)
    if is_main_process():
        _claim(folder, experiment, planned)
    places = {fold: folder / folder_name(fold) for fold in planned}
    left = [fold for fold, place in places.items() if not (place / FINISHED).is_file()]
    here = launcher is None or isinstance(launcher, Local)
    if (left and not here) or ((jobs or 1) > 1 and len(left) > 1):
        _apart({fold: planned[fold] for fold in left}, folder, jobs, on_progress, launcher or Local())
    for fold, place in places.items():
        tell = None if on_progress is None else partial(on_progress, fold)
        run = train(planned[fold], place, on_progress=tell)
        if is_main_process():
            run.predict("test")
    return CrossValidation(folder)


def fold_experiments(experiment: Experiment, folds: Sequence[int] | None = None) -> dict[int, Experiment]:
    """The experiment of each fold, by its number, in the order of the data set. folds: only these.

    Raises ConfigurationError for a data set without folds, and for folds that it does not have.
    """
    there, name = experiment.dataset.folds, registry.name_of(experiment.dataset)
    if not there:
        known = with_folds()
        of_others = f"to cross-validate over; those that have: {', '.join(known) or 'none'}"
        why = "with these settings" if name in known else of_others
        raise ConfigurationError([f"data set {name!r} has no folds {why}"])
    if unknown := [fold for fold in folds or () if fold not in there]:
        listed = ", ".join(map(str, there))
        raise ConfigurationError([f"data set {name!r} has no fold {unknown[0]}; there are: {listed}"])
    return {fold: _on(experiment, fold) for fold in there if not folds or fold in folds}


def _on(experiment: Experiment, fold: int) -> Experiment:
    dataset = dataclasses.replace(experiment.dataset, fold=fold)  # type: ignore[call-arg]
    name = f"{experiment.name}, fold {fold}" if experiment.name else f"fold {fold}"
    return dataclasses.replace(experiment, dataset=dataset, name=name)


def with_folds() -> list[str]:
    """Names of the data sets that have folds."""
    return [name for name in registry.names("datasets") if registry.config_class("datasets", name)().folds]


def _check(planned: Mapping[int, Experiment], given: int | None) -> None:
    jobs = 1 if given is None else given
    if jobs < 1:
        raise ConfigurationError([f"jobs = {jobs}: must be at least 1"])
    if jobs > 1 and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ConfigurationError([f"jobs = {jobs}: must be 1 where one run is spread over processes"])
    for experiment in planned.values():
        experiment.check()
        workers = experiment.training.workers
        if jobs > 1 and workers:
            raise ConfigurationError([f"training.workers = {workers}: must be 0 where jobs = {jobs} run at a time"])


def _claim(folder: Path, experiment: Experiment, planned: Mapping[int, Experiment]) -> None:
    """Make the folder this cross-validation's, with a record in each fold's folder, or see that it already is. One of
    which no fold was begun gives way to any other."""
    whole = dataclasses.replace(_on(experiment, experiment.dataset.folds[0]), name=experiment.name)
    places = {fold: folder / folder_name(fold) for fold in experiment.dataset.folds}
    if (folder / RECORD).is_file():
        try:
            same_experiment(folder, whole, RECORD, "cross-validation")
        except RunFolderError:
            if any(map(begun, places.values())):
                raise
            for place in places.values():
                (place / RUN).unlink(missing_ok=True)
            _record(folder, whole)
    else:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            others = [path.name for path in folder.iterdir() if not path.name.startswith(f".{RECORD}.")]
        except OSError as error:
            raise UserError(f"cannot write into {folder}: {error.strerror}") from error
        if others:
            shown = min(others, key=lambda name: (name.startswith("."), name))
            raise RunFolderError(
                f"{folder} is not empty and holds no cross-validation (there is {shown!r}); give another folder"
            )
        _record(folder, whole)
    # All of them before the first is trained: what was killed must not look as if it were finished.
    for fold, one in planned.items():
        with locked(places[fold]):
            claim(places[fold], one)


def _record(folder: Path, whole: Experiment) -> None:
    write_run(folder / RECORD, whole, whole.dataset.fingerprint())


def _apart(
    planned: Mapping[int, Experiment],
    folder: Path,
    jobs: int | None,
    on_progress: OnFoldProgress | None,
    launcher: Launcher,
) -> None:
    folds = list(planned)
    tasks = [(planned[fold], folder / folder_name(fold)) for fold in folds]
    displays = {fold: TerminalProgress(planned[fold].name, bar=False) for fold in folds}
    tell = on_progress or (lambda fold, progress: displays[fold](progress))
    threads = max(1, (os.cpu_count() or 1) // min(jobs or 1, len(tasks)))
    names = [folder_name(fold) for fold in folds]
    work = Work(_one, tasks, names, folder, read_by(planned.values()), jobs, threads)
    for number, done, value in launcher.launch(work):
        if not done:
            tell(folds[number], value)


def _one(task: tuple[Experiment, Path], say: Say) -> None:
    """Train and predict a fold; the predictions stay in its folder."""
    experiment, folder = task
    train(experiment, folder, on_progress=say).predict("test")
