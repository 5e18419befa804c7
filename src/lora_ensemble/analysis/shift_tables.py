"""Curves over shifts as text: by severity, and by shift; as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from lora_ensemble.analysis.rendering import arrow, latex, markdown, number
from lora_ensemble.analysis.shift_curve import ShiftCurve
from lora_ensemble.fields import to_plain

FORMS = {"markdown": markdown, "latex": latex}


def by_severity(curve: ShiftCurve, form: str = "markdown", digits: int = 3) -> str:
    """A row per severity, 0 being the rows as they are: the mean over shifts of each score."""
    header = ["severity", *map(arrow, curve.mean)]
    rows = [
        [str(severity), *(number(values[k], digits=digits) for values in curve.mean.values())]
        for k, severity in enumerate(curve.severities)
    ]
    return FORMS[form](header, rows)


def by_shift(curves: Mapping[str, ShiftCurve], form: str = "markdown", digits: int = 3) -> str:
    """A row per shift: the error, mean over severities, of each ensemble; below them the mean corruption error and,
    against the first of several, the relative one."""
    first = next(iter(curves.values()))
    errors = {label: curve.corruption_errors for label, curve in curves.items()}
    rows = [
        [shift, *(number(errors[label].get(shift, math.nan), digits=digits) for label in curves)]
        for shift in first.scores
    ]
    rows.append(
        ["mean corruption error", *(number(curve.mean_corruption_error, digits=digits) for curve in curves.values())]
    )
    if len(curves) > 1:
        relative = (number(curve.relative_to(first), digits=digits) for curve in curves.values())
        rows.append(["relative to the first", *relative])
    return FORMS[form](["error", *curves], rows)


def shifts_json(curves: Mapping[str, ShiftCurve]) -> str:
    """By ensemble the fields of `ShiftCurve`, with `corruption_errors` and `mean_corruption_error`; null for NaN."""
    values = {
        label: {
            **to_plain(curve),
            "corruption_errors": curve.corruption_errors,
            "mean_corruption_error": curve.mean_corruption_error,
        }
        for label, curve in curves.items()
    }
    return json.dumps(without_nan(values), indent=2)


def without_nan(value: Any) -> Any:
    """JSON values with null in place of NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {name: without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
