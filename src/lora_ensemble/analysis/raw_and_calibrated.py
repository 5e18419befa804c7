"""Scores side by side: of predictions as they are, and after a calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lora_ensemble.analysis.evaluation import evaluate
from lora_ensemble.analysis.scores import Scores
from lora_ensemble.predictions import Predictions

if TYPE_CHECKING:
    from lora_ensemble.contracts import Calibration


def evaluate_both(
    p: Predictions,
    ood: Predictions | Mapping[str, Predictions] | None = None,
    *,
    calibration: Calibration | None,
    **options: Any,
) -> Scores:
    """`evaluate`, with the scores after the calibration as `.calibrated`; without one just `evaluate`.

    A score that the calibrated predictions cannot have (energy and maximum of logits that are logarithms of
    probabilities now) is NaN there. options: those of `evaluate`.
    Raises what it raises, and DataError for another run's calibration."""
    raw = evaluate(p, ood, **options)
    if calibration is None:
        return raw
    outside = {name: calibration(part) for name, part in ood.items()} if isinstance(ood, Mapping) else ood
    outside = calibration(outside) if isinstance(outside, Predictions) else outside
    if options.get("reference") is not None:
        options["reference"] = calibration(options["reference"])
    after = evaluate(calibration(p), outside, **options)
    gone = [name for name in raw if name not in after]  # the level of logits, which a map of the pool does away with
    after = replace(
        after,
        point={name: after.point.get(name, math.nan) for name in raw},
        intervals={name: after.intervals.get(name, (math.nan, math.nan)) for name in raw.intervals},
        per_member={**after.per_member, **dict.fromkeys(gone, (math.nan,) * p.num_members)},
    )
    about = {**after.about, "calibration": calibration.name, "fitted_on": calibration.source.rows}
    return replace(raw, calibrated=replace(after, about=about))
