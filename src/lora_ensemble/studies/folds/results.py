"""A cross-validation as results: the pooled score and those of the folds, as a report and results.json take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lora_ensemble import registry
from lora_ensemble.predictions import Predictions
from lora_ensemble.report import Results, RunResult, summarise
from lora_ensemble.studies.folds.read import BEST

if TYPE_CHECKING:
    from lora_ensemble.studies.folds.read import CrossValidation, Rule


def fold_results(done: CrossValidation, epoch: int | Rule = "last") -> Results:
    """One run that is named "pooled", and one of the name "each fold" for every fold: their mean and standard deviation
    are over folds. Raises RunFolderError for an unfinished fold."""
    parts = done.predict(epoch=epoch)
    numbers = ", ".join(map(str, parts))
    said = {fold: _result(p, "each fold", done, done.runs[fold].cost) for fold, p in parts.items()}
    pooled = _result(done.pooled(epoch), "pooled", done, done.cost, examples=10)
    name = done.experiment.name or done.folder.name
    about: dict[str, str | int | float] = {
        "data": f"{registry.name_of(done.experiment.dataset)}, each fold predicted by an ensemble of the others",
        "folds": numbers,
        "epoch": f"{done.best_epoch}, {epoch}" if epoch == BEST else epoch,
    }
    return Results(f"{name}, cross-validated", (pooled, *said.values()), done.note(epoch), about)


def _result(p: Predictions, method: str, done: CrossValidation, cost: dict[str, Any], examples: int = 0) -> RunResult:
    taken = {
        "train_seconds": cost["seconds"],
        "predict_seconds_per_example": 1 / p.meta["examples_per_second"],
        "parameters_trained": cost["trainable_parameters"],
    }
    whole = method == "pooled"
    return summarise(p, method, seed=done.experiment.seed, cost=taken, examples=examples, intervals=whole)
