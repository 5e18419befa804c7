"""The calibration of a run: fitted to its validation split, kept in its folder."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from lora_ensemble import registry
from lora_ensemble.contracts import Calibration
from lora_ensemble.errors import DataError, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from lora_ensemble.contracts import LoadedBackbone
    from lora_ensemble.engine.ensemble import Ensemble
    from lora_ensemble.predictions import Predictions
    from lora_ensemble.runs.run import Run

CALIBRATION = "calibration.json"


def read_calibration(folder: Path) -> Calibration | None:
    """None where there is none. Raises FileFormatError for a file that is damaged or was changed."""
    path = folder / CALIBRATION
    return Calibration.load(path) if path.is_file() else None


def validation_predictions(run: Run) -> Predictions:
    """Of the run's validation split. Raises DataError for a data set without one, or without labels."""
    dataset = run.experiment.dataset
    if "validation" not in dataset.splits:
        raise DataError(
            f"data set {registry.name_of(dataset)!r} has no validation split (there are {', '.join(dataset.splits)}): "
            "nothing to calibrate on"
        )
    return run.predict("validation")


def calibrate_trained(run: Run, loaded: tuple[LoadedBackbone, Ensemble] | None = None) -> None:
    """What `train` does at its end: a temperature, where there is a validation split and no calibration yet.

    loaded: the ensemble where it is in memory already. The validation predictions are kept. A run whose validation
    split cannot be predicted is trained all the same: a warning says that it is not calibrated."""
    from lora_ensemble.analysis.calibration import calibrate

    if "validation" not in run.experiment.dataset.splits or (run.folder / CALIBRATION).exists():
        return
    try:
        p = run.predict("validation") if loaded is None else run.predict_loaded("validation", loaded)
        calibrate(p).save(run.folder / CALIBRATION)
    except UserError as error:
        warnings.warn(f"{run.folder} is trained, and not calibrated: {error}", stacklevel=2)
