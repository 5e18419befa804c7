"""What validation predictions add to a run's: a calibrated form, and promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lora_ensemble.analysis import calibrate
from lora_ensemble.errors import UserError
from lora_ensemble.predictions import Pooling, Predictions
from lora_ensemble.report.calibrated import Calibrated, calibrated_of
from lora_ensemble.report.promises import Promises, promises_of


@dataclass(frozen=True, eq=False)
class Trust:
    """What is known with validation predictions, and what is not."""

    calibrated: Calibrated | None = None
    promises: Promises | None = None
    notes: tuple[str, ...] = ()


def trusted(
    p: Predictions,
    validation: Predictions | None,
    ood: Predictions | Mapping[str, Predictions],
    calibration: str,
    intervals: bool,
    pooling: Pooling,
) -> Trust:
    """Fitted to validation labels; what cannot be is told in notes."""
    if validation is None or validation.labels_B is None:
        return Trust()
    notes, promises = [], None
    try:
        promises = promises_of(p, validation)
    except UserError as error:
        notes.append(f"Nothing is promised: {error}.")
    try:
        fitted = calibrate(validation, calibration)
        ours = fitted(p)
        outside = fitted(ood) if isinstance(ood, Predictions) else {name: fitted(part) for name, part in ood.items()}
    except UserError as error:
        return Trust(None, promises, (*notes, f"Not calibrated: {error}."))
    made = calibrated_of(ours, fitted.name, ood=outside, intervals=intervals, pooling=pooling)
    return Trust(made, promises, tuple(notes))
