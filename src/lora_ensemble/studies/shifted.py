"""Ensembles after shifts: predictions of the members of several runs, one shift after another, and their curve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lora_ensemble import registry
from lora_ensemble.contracts import Dataset
from lora_ensemble.runs.shifts import shifts_named
from lora_ensemble.runs.trained import Trained
from lora_ensemble.studies.groups import calibration_of, joined

if TYPE_CHECKING:
    from lora_ensemble.analysis import ShiftCurve
    from lora_ensemble.predictions import Pooling, Predictions


def followed_shifts(
    runs: Sequence[Trained],
    words: str,
    split: str = "test",
    dataset: Dataset | None = None,
    *,
    raw: bool = False,
    pooling: Pooling = "mean-of-probabilities",
) -> ShiftCurve:
    """Scores of one ensemble, which may be spread over several runs, against severity. words: as `shifts_named` takes
    them. What is predicted is kept in the runs, so that a killed evaluation goes on where it was."""
    from lora_ensemble.analysis import shift_curve

    clean = joined(runs, split, dataset)
    calibration = None if raw else calibration_of(runs, split)
    return shift_curve(clean, _each(runs, words, split, dataset), calibration=calibration, pooling=pooling)


def _each(
    runs: Sequence[Trained], words: str, split: str, dataset: Dataset | None
) -> Iterator[tuple[str, int, Predictions]]:
    from lora_ensemble.predictions import Predictions

    shifts = shifts_named(words, (dataset or runs[0].experiment.dataset).modality)
    for parts in zip(*(run.predict_shifts(shifts, split, dataset) for run in runs), strict=True):
        shift = parts[0][0]
        yield registry.name_of(shift), shift.severity, Predictions.concat([p for _, p in parts])
