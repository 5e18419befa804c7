"""From predictions to what a report needs of them."""

from __future__ import annotations

from collections.abc import Mapping

from lora_ensemble.analysis import EpochsCurve, ShiftCurve, evaluate
from lora_ensemble.predictions import Pooling, Predictions
from lora_ensemble.report.classes import classes_of
from lora_ensemble.report.curves import curves_of
from lora_ensemble.report.examples import (
    Previews,
    most_confidently_wrong,
    most_disputed,
    most_uncertain,
    with_previews,
)
from lora_ensemble.report.run_result import RunResult
from lora_ensemble.report.trust import trusted

OOD = "out of distribution"
"""Name of an OOD set for which none is given."""


def summarise(
    p: Predictions,
    method: str,
    *,
    ood: Predictions | Mapping[str, Predictions] | None = None,
    seed: int | None = None,
    cost: Mapping[str, float] | None = None,
    examples: int = 0,
    intervals: bool = True,
    pooling: Pooling = "mean-of-probabilities",
    epochs: EpochsCurve | None = None,
    shift: ShiftCurve | None = None,
    validation: Predictions | None = None,
    calibration: str = "temperature",
    previews: Previews | None = None,
) -> RunResult:
    """Scores, curves and single examples of one run's predictions.

    ood: predictions of the same members on data from elsewhere, or several by name; the scores of a single set carry
    no name, so that runs with differently named sets can be compared. cost: see `results.COSTS`. epochs: how scores
    moved in training. shift: how they move with the severity of shifts.
    examples: how many of the most uncertain, of the most disputed, and of the most confidently wrong are listed;
    previews: what is shown of them. validation: predictions of the same members on the validation split, which a
    calibration (a name of `calibrations/`), prediction sets and abstention are fitted to.
    Raises what `evaluate` raises, and UnknownNameError for a cost of another name.
    """
    sets = {OOD: ood} if isinstance(ood, Predictions) else dict(ood or {})
    alone = next(iter(sets.values())) if len(sets) == 1 else sets
    lists = {"uncertain": most_uncertain, "wrong": most_confidently_wrong, "disputed": most_disputed}
    found = {name: choose(p, examples, pooling) for name, choose in lists.items()} if examples else {}
    trust = trusted(p, validation, alone, calibration, intervals, pooling)
    return RunResult(
        method=method,
        scores=evaluate(p, alone, intervals=intervals, pooling=pooling),
        curves=curves_of(p, sets, pooling),
        seed=seed,
        cost=cost or {},
        epochs=epochs,
        classes=classes_of(p, pooling),
        calibrated=trust.calibrated,
        promises=trust.promises,
        notes=trust.notes,
        shift=shift,
        **with_previews(found, previews),
    )
