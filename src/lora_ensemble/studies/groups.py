"""Runs side by side: which are seeds of one experiment, what to call them, their predictions and their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble import registry
from lora_ensemble.contracts import Calibration, Dataset
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.runs.member_parts import in_order, whole
from lora_ensemble.runs.run import Run
from lora_ensemble.runs.trained import Trained
from lora_ensemble.studies.folds.calibrated import FoldCalibration
from lora_ensemble.studies.folds.pooled import PooledFolds, opened
from lora_ensemble.studies.previews import previews_of

VALIDATION = "validation"

if TYPE_CHECKING:
    from lora_ensemble.predictions import Predictions
    from lora_ensemble.report import RunResult
    from lora_ensemble.report.examples import Previews


def by_experiment(folders: Sequence[Path]) -> dict[str, list[Trained]]:
    """Finished runs by a label; runs of one label differ in nothing but the seed. A cross-validation is one run.

    The label is the experiment's name, or its folder's; of runs with different names, data set and method. Where two
    different experiments have one label, the fields in which they differ are added. Raises RunFolderError for a folder
    without a finished run, ConfigurationError for a folder that is given twice.
    """
    given = [folder.resolve() for folder in folders]
    if twice := [str(folder) for folder, path in zip(folders, given, strict=True) if given.count(path) > 1]:
        raise ConfigurationError([f"{twice[0]} is given twice"])
    settings: list[dict[str, Any]] = []
    groups: list[list[Trained]] = []
    for folder in folders:
        run = opened(folder)
        run.classes  # noqa: B018  raises for an unfinished run, before anything is computed
        values = {k: v for k, v in run.experiment.determining().items() if k != "seed"}
        if values not in settings:
            settings.append(values)
            groups.append([])
        groups[settings.index(values)].append(run)
    return dict(zip(_labels(groups, settings), groups, strict=True))


def ensembles(groups: dict[str, list[Trained]], concat: bool) -> list[tuple[str, list[Trained]]]:
    """What is scored: each run under its group's label, one for each seed, or all runs together as one ensemble.

    Raises ConfigurationError for runs together that hold the same member."""
    if concat:
        runs = in_order([run for runs in groups.values() for run in runs])
        parts_of_one = all(whole(run) == whole(runs[0]) for run in runs)
        return [(_name(runs[0]) if parts_of_one else " + ".join(groups), runs)]
    return [(label, [run]) for label, runs in groups.items() for run in _by_seed(runs).values()]


def counted_once(groups: Mapping[str, Sequence[Trained]]) -> list[str]:
    """A warning for each run that `ensembles` leaves out: the same seed again would be no second sample of anything."""
    kept = {label: _by_seed(runs) for label, runs in groups.items()}
    return [
        f"{run.folder} is {label} with seed {run.experiment.seed} again, as {first.folder}: counted once"
        for label, runs in groups.items()
        for run in runs
        if (first := kept[label][run.experiment.seed]) is not run
    ]


def _by_seed(runs: Sequence[Trained]) -> dict[int, Trained]:
    """The first run of each seed."""
    found: dict[int, Trained] = {}
    for run in runs:
        found.setdefault(run.experiment.seed, run)
    return found


def joined(runs: Sequence[Trained], split: str = "test", dataset: Dataset | None = None) -> Predictions:
    """The members of all runs as one ensemble, on a split of their data set or of another."""
    from lora_ensemble.predictions import Predictions

    return Predictions.concat([run.predict(split, dataset) for run in runs])


def calibration_of(runs: Sequence[Trained], split: str = "test") -> Calibration | None:
    """The calibration of what `joined` gives: a run's own; of runs side by side a temperature, where each has a
    calibration. Of a cross-validation each fold's own. None on the validation split, which calibrations are fitted to,
    and of cross-validations side by side."""
    if split == "validation" or any(run.calibrated is None for run in runs):
        return None
    if len(runs) == 1:
        return runs[0].calibrated
    if any(isinstance(run, PooledFolds) for run in runs):
        return None
    from lora_ensemble.analysis import calibrate

    return calibrate(joined(runs, "validation"))


def result(
    runs: Sequence[Trained],
    label: str,
    split: str = "test",
    ood: Mapping[str, Dataset] | None = None,
    examples: int = 0,
    shown: bool = False,
) -> RunResult:
    """Scores, curves and cost of one ensemble, which may be spread over several runs. ood: data sets by their label.
    shown: with what the examples look, sound or read like. What is fitted on validation comes from its predictions."""
    from lora_ensemble.report import summarise
    from lora_ensemble.report.calibrated import calibrated_of

    p = joined(runs, split)
    outside = {name: joined(runs, "test", dataset) for name, dataset in (ood or {}).items()}
    seeds = {run.experiment.seed for run in runs}
    seed = seeds.pop() if len(seeds) == 1 else None
    own = calibration_of(runs, split)
    found = summarise(
        p,
        label,
        ood=outside,
        seed=seed,
        cost=_cost(runs, split),
        examples=examples,
        validation=_validation(runs, split),
        calibration="temperature" if own is None else own.name,
        previews=previews_of(runs[0].experiment.dataset, split)
        if shown and not isinstance(runs[0], PooledFolds)
        else None,
    )
    return replace(found, calibrated=calibrated_of(own(p), own.name)) if isinstance(own, FoldCalibration) else found


def _previews(runs: Sequence[Trained], split: str) -> Previews | None:
    """None for folds, whose rows are those of several data sets."""
    return None if isinstance(runs[0], PooledFolds) else previews_of(runs[0].experiment.dataset, split)


def _validation(runs: Sequence[Trained], split: str) -> Predictions | None:
    """None where there is no such split, or it is the one that is scored: nothing is fitted on what is reported."""
    there = all(not isinstance(run, PooledFolds) and VALIDATION in run.experiment.dataset.splits for run in runs)
    return joined(runs, VALIDATION) if there and split != VALIDATION else None


def _cost(runs: Sequence[Trained], split: str) -> dict[str, float]:
    """Of all runs together; one after another where time is concerned. Nobody knows what training took elsewhere."""
    seconds = sum(1 / run.predict(split).meta["examples_per_second"] for run in runs)
    trained = [] if any(isinstance(run, Run) and run.adopted is not None for run in runs) else runs
    return {
        **({"train_seconds": sum(run.cost["seconds"] for run in trained)} if trained else {}),
        "predict_seconds_per_example": seconds,
        "parameters_trained": sum(run.cost["trainable_parameters"] for run in runs),
    }


def _name(run: Trained) -> str:
    return run.experiment.name or run.folder.name


def _common_name(runs: Sequence[Trained]) -> str:
    """The name of all of them, or what they are: seeds may have names of their own, as the published ones do."""
    first = runs[0]
    if all(_name(run) == _name(first) for run in runs):
        return _name(first)
    return "-".join(registry.name_of(part) for part in (first.experiment.dataset, first.experiment.method))


def _labels(groups: Sequence[Sequence[Trained]], settings: Sequence[dict[str, Any]]) -> list[str]:
    names = [_common_name(runs) for runs in groups]
    labels = []
    for name, own in zip(names, settings, strict=True):
        others = [s for n, s in zip(names, settings, strict=True) if n == name and s is not own]
        differing = [k for k in own if any(other.get(k) != own[k] for other in others)]
        labels.append(" ".join([name, *(f"{k}={own[k]}" for k in differing)]))
    return labels
