"""One trained ensemble on one split: everything that a report shows of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lora_ensemble.analysis import EpochsCurve, Scores, ShiftCurve
from lora_ensemble.analysis.shift_curve import shift_from
from lora_ensemble.errors import UnknownNameError
from lora_ensemble.fields import from_plain, to_plain
from lora_ensemble.report.calibrated import Calibrated
from lora_ensemble.report.classes import Classes
from lora_ensemble.report.curves import Curves
from lora_ensemble.report.examples import Example
from lora_ensemble.report.promises import Promises

EXAMPLES = ("uncertain", "wrong", "disputed")

COSTS = {
    "train_seconds": "training time",
    "predict_seconds_per_example": "prediction time per example",
    "parameters_trained": "trained parameters",
    "parameters_total": "parameters in memory",
    "peak_memory_bytes": "peak memory in training",
}
"""What a cost record may hold, and how a report names it."""


@dataclass(frozen=True, eq=False)
class RunResult:
    """One trained ensemble on one split."""

    method: str
    """Runs of one method differ in their seed."""
    scores: Scores
    curves: Curves
    seed: int | None = None
    cost: Mapping[str, float] = field(default_factory=dict)
    """What it cost; names of `COSTS`."""
    uncertain: tuple[Example, ...] = ()
    """The most uncertain predictions."""
    wrong: tuple[Example, ...] = ()
    """The wrong predictions of highest confidence."""
    epochs: EpochsCurve | None = None
    """Scores after each epoch of the training."""
    disputed: tuple[Example, ...] = ()
    """The predictions on which members disagree most."""
    classes: Classes | None = None
    """What was predicted of each class."""
    calibrated: Calibrated | None = None
    """The same predictions, calibrated on validation."""
    promises: Promises | None = None
    """Prediction sets and abstention, fitted on validation."""
    shift: ShiftCurve | None = None
    """Scores against the severity of shifts."""
    notes: tuple[str, ...] = ()
    """What could not be told, and why."""

    def __post_init__(self) -> None:
        for name in self.cost:
            if name not in COSTS:
                raise UnknownNameError("cost", name, COSTS)

    @property
    def members(self) -> int:
        """Number of members M."""
        return int(self.scores.about["members"])

    @property
    def values(self) -> dict[str, float]:
        """The scores, and those after the calibration as `calibrated_<name>`, where there is one."""
        after = None if self.calibrated is None else self.calibrated.scores
        return replace(self.scores, calibrated=after).with_calibrated()

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        examples = {name: [_example(e) for e in getattr(self, name)] for name in EXAMPLES}
        head = {"method": self.method, "seed": self.seed, **json.loads(self.scores.to_json())}
        plain = {name: _optional(getattr(self, name)) for name in ("epochs", "classes", "promises", "shift")}
        return {
            **head,
            "cost": dict(self.cost),
            "curves": finite(to_plain(self.curves)),
            **plain,
            "calibrated": None if self.calibrated is None else self.calibrated.to_dict(),
            "notes": list(self.notes),
            **examples,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunResult:
        """The inverse of `to_dict`."""
        return cls(
            method=data["method"],
            scores=Scores.from_json(json.dumps({k: v for k, v in data.items() if k != "calibrated"})),
            curves=from_plain(Curves, data["curves"], "curves"),
            seed=data["seed"],
            cost=data["cost"],
            epochs=from_plain(EpochsCurve, data["epochs"], "epochs") if data.get("epochs") else None,
            classes=from_plain(Classes, data["classes"], "classes") if data.get("classes") else None,
            calibrated=Calibrated.from_dict(data["calibrated"]) if data.get("calibrated") else None,
            promises=from_plain(Promises, data["promises"], "promises") if data.get("promises") else None,
            shift=shift_from(data["shift"]) if data.get("shift") else None,
            notes=tuple(data.get("notes") or ()),
            **{name: tuple(from_plain(Example, e, "example") for e in data.get(name) or ()) for name in EXAMPLES},
        )


def _optional(part: Any) -> dict[str, Any] | None:
    return None if part is None else finite(to_plain(part))


def _example(e: Example) -> dict[str, Any]:
    """Without a preview that is not there, as files of earlier versions."""
    return {name: value for name, value in to_plain(e).items() if name != "preview" or value is not None}


def finite(value: Any) -> Any:
    """With null in place of NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
