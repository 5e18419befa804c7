"""Stored predictions of a run that is trained already: those that are not of it are made anew, and that is said."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from lora_ensemble.errors import UserError
from lora_ensemble.runs.kept import PREDICTIONS, older_prediction_key, place_of, prediction_key
from lora_ensemble.runs.predicting import Wanted

if TYPE_CHECKING:
    from lora_ensemble.runs.run import Run

_STEP = re.compile(r"-step-(\d+)\.safetensors$")


def renew_predictions(run: Run) -> None:
    """Of the run's own data set: a file that is damaged, or of other weights, is predicted anew, with a warning. Those
    of other data sets are looked at when they are asked for."""
    experiment = run.experiment
    dataset = experiment.dataset
    kept = [path.name for path in (run.folder / PREDICTIONS).glob("*.safetensors")]
    steps = {int(found[1]) for name in kept if (found := _STEP.search(name))}
    for split in dataset.splits:
        for step in (None, *sorted(steps)):
            path = place_of(run.folder, experiment, Wanted(split, dataset, step))
            if path.name in kept and (reason := _why_not(run, path, split, step)):
                _renew(run, path, split, step, reason)


def _why_not(run: Run, path: Path, split: str, step: int | None) -> str | None:
    """What is wrong with a file; None where it is as `predict` left it."""
    from lora_ensemble.predictions import Predictions

    experiment, dataset = run.experiment, run.experiment.dataset
    try:
        weights = run.weights(step)
    except UserError:  # of a checkpoint that is not there any more
        return None
    try:
        meta = Predictions.load(path).meta
    except UserError as error:
        return str(error)
    if "data" not in meta:  # of an older version, whose key said when the weights were written: it tells nothing here
        return None
    key = meta.get("key")
    now = prediction_key(experiment, Wanted(split, dataset, step), weights)
    if key in (now, older_prediction_key(experiment, dataset, split, weights)):
        return None
    return f"{path} holds predictions of other weights, or of another configuration"


def _renew(run: Run, path: Path, split: str, step: int | None, reason: str) -> None:
    try:
        run.predict(split, step=step)
        warnings.warn(f"{reason}; they were made anew", stacklevel=4)
    except UserError as error:
        warnings.warn(f"{reason}; they cannot be made anew: {error}", stacklevel=4)
