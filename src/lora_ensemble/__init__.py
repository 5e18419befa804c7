"""Calibrated uncertainty for any pretrained transformer, at the price of one backbone.

The names below are the public face; each is loaded from its module on first use: importing the package is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lora_ensemble.analysis import abstain as abstain
    from lora_ensemble.analysis import calibrate as calibrate
    from lora_ensemble.analysis import evaluate as evaluate
    from lora_ensemble.analysis.conformal import conformal as conformal
    from lora_ensemble.engine.config import LoraEnsembleConfig as LoraEnsembleConfig
    from lora_ensemble.engine.ensemble import Ensemble as Ensemble
    from lora_ensemble.engine.ensemble import EnsembleOutput as EnsembleOutput
    from lora_ensemble.engine.lora import LoraEnsemble as LoraEnsemble
    from lora_ensemble.errors import UserError as UserError
    from lora_ensemble.experiment import Experiment as Experiment
    from lora_ensemble.experiment import Training as Training
    from lora_ensemble.predictions import Predictions as Predictions
    from lora_ensemble.runs.run import Run as Run
    from lora_ensemble.runs.run import train as train

__version__ = "0.1.0"

_WHERE = {
    "Ensemble": "engine.ensemble",
    "EnsembleOutput": "engine.ensemble",
    "Experiment": "experiment",
    "LoraEnsemble": "engine.lora",
    "LoraEnsembleConfig": "engine.config",
    "Predictions": "predictions",
    "Run": "runs.run",
    "Training": "experiment",
    "UserError": "errors",
    "abstain": "analysis",
    "calibrate": "analysis",
    "conformal": "analysis.conformal",
    "evaluate": "analysis",
    "train": "runs.run",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
