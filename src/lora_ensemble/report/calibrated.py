"""The calibrated form of a run's predictions, beside the raw one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lora_ensemble.analysis import Scores, evaluate
from lora_ensemble.fields import from_plain, to_plain
from lora_ensemble.predictions import Pooling, Predictions
from lora_ensemble.report.curves import Bins, bins_of, risk_of


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What a calibration, fitted on validation, makes of the predictions."""

    name: str
    """Of the calibration, as a user types it."""
    scores: Scores
    reliability: Bins
    risk: tuple[float, ...]
    """As in `curves.Curves`."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        scores = json.loads(self.scores.to_json())
        return {"name": self.name, **scores, "reliability": to_plain(self.reliability), "risk": list(self.risk)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibrated:
        """The inverse of `to_dict`."""
        return cls(
            name=str(data["name"]),
            scores=Scores.from_json(json.dumps(data)),
            reliability=from_plain(Bins, data["reliability"], "reliability"),
            risk=tuple(float(share) for share in data["risk"]),
        )


def calibrated_of(
    p: Predictions, name: str, *, ood: Predictions | Mapping[str, Predictions] | None = None,
    intervals: bool = True, pooling: Pooling = "mean-of-probabilities",
) -> Calibrated | None:  # fmt: skip
    """p, ood: calibrated predictions. None without labels."""
    if p.labels_B is None:
        return None
    scores = evaluate(p, ood, intervals=intervals, pooling=pooling)
    return Calibrated(name, scores, bins_of(p, pooling), risk_of(p, pooling))
