"""From predictions to what a report needs of them."""

from __future__ import annotations

from collections.abc import Mapping

from lora_ensemble.analysis import EpochsCurve, evaluate
from lora_ensemble.predictions import Pooling, Predictions
from lora_ensemble.report.curves import curves_of
from lora_ensemble.report.examples import most_confidently_wrong, most_uncertain
from lora_ensemble.report.results import RunResult

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
) -> RunResult:
    """Scores, curves and single examples of one run's predictions.

    ood: predictions of the same members on data from elsewhere, or several by name; the scores of a single set carry
    no name, so that runs with differently named sets can be compared. cost: see `results.COSTS`. epochs: how scores
    moved in training.
    examples: how many of the most uncertain, and of the most confidently wrong, are listed. Raises what `evaluate`
    raises, and UnknownNameError for a cost of another name.
    """
    sets = {OOD: ood} if isinstance(ood, Predictions) else dict(ood or {})
    alone = next(iter(sets.values())) if len(sets) == 1 else sets
    return RunResult(
        method=method,
        scores=evaluate(p, alone, intervals=intervals, pooling=pooling),
        curves=curves_of(p, sets, pooling),
        seed=seed,
        cost=cost or {},
        epochs=epochs,
        uncertain=most_uncertain(p, examples, pooling) if examples else (),
        wrong=most_confidently_wrong(p, examples, pooling) if examples else (),
    )
