"""Scores of groups as text: a row for each group, and which one is the worst."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lora_ensemble.analysis.groups import worst_group
from lora_ensemble.analysis.naming import ALL, digits_of
from lora_ensemble.analysis.rendering import arrow, latex, markdown, number
from lora_ensemble.analysis.scores import Scores
from lora_ensemble.analysis.scoring import CALIBRATED, better
from lora_ensemble.errors import UnknownNameError

SHOWN = ("accuracy", "nll", "ece_15")
"""Scores of a table for which none are named, raw and calibrated."""
FEW = 30
"""Groups of fewer rows are named: what resampling says of so few rows is too sure of itself."""
_FORMS = {"markdown": markdown, "latex": latex}


@dataclass(frozen=True)
class GroupScores:
    """What `evaluate_groups` found, beside the scores of all rows."""

    by: str
    """What the groups are of."""
    whole: Scores
    groups: Mapping[str, Scores]

    @property
    def worst(self) -> dict[str, str]:
        """The worst group by each score of which one way is better."""
        found = {}
        for name, value in self.whole.with_calibrated().items():
            there = any(not math.isnan(s.with_calibrated().get(name, math.nan)) for s in self.groups.values())
            if better(name) is not None and there and not math.isnan(value):
                found[name] = worst_group(dict(self.groups), name)
        return found

    def table(self, form: str = "markdown", scores: Sequence[str] = ()) -> str:
        """Rows of all samples and of each group with their number, and each score with its interval; the worst group by
        a score is bold, and named below. Raises UnknownNameError for a score that there is not."""
        names = self._names(scores)
        order = sorted(self.groups, key=_natural)
        header = [self.by, "n", *map(arrow, names)]
        rows = [self._row("all", self.whole, names), *(self._row(name, self.groups[name], names) for name in order)]
        worst = {name: self.worst[name] for name in names if name in self.worst}
        bold = {(1 + order.index(group), 2 + names.index(name)) for name, group in worst.items()}
        shown = _FORMS[form](header, rows, bold)
        return shown if form == "latex" else "\n".join([shown, *self._said(worst)]) + "\n"

    def plain(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "by": self.by,
            "all": json.loads(self.whole.to_json()),
            "groups": {name: json.loads(self.groups[name].to_json()) for name in sorted(self.groups, key=_natural)},
            "worst": self.worst,
        }

    def _names(self, asked: Sequence[str]) -> list[str]:
        there = list(self.whole.with_calibrated())
        if list(asked) == [ALL]:
            return there
        names = list(asked) or [n for name in SHOWN for n in (name, CALIBRATED + name) if n in there] or there
        for name in names:
            if name not in there:
                raise UnknownNameError("score", name, there)
        return names

    def _row(self, group: str, scores: Scores, names: Sequence[str]) -> list[str]:
        cells = []
        for name in names:
            value, (low, high), digits = *_found(scores, name), digits_of(name)
            between = "" if math.isnan(low) else f" ({low:.{digits}f} to {high:.{digits}f})"
            cells.append(number(value, digits=digits) + between)
        return [group, str(scores.about["samples"]), *cells]

    def _said(self, worst: Mapping[str, str]) -> list[str]:
        lines = []
        for name, group in worst.items():
            scores = self.groups[group]
            value, (low, high) = _found(scores, name)
            within = ", which may be chance: its interval holds the value of all rows"
            chance = within if low <= _found(self.whole, name)[0] <= high else ""
            shown = number(value, digits=digits_of(name))
            lines.append(f"worst {name}: {group}, {shown} of {scores.about['samples']} rows{chance}")
        if few := [name for name, scores in self.groups.items() if scores.about["samples"] < FEW]:
            lines.append(
                f"{len(few)} of {len(self.groups)} groups have fewer than {FEW} rows: their intervals are too narrow, "
                "but for that of the accuracy, which is exact"
            )
        return lines


def groups_json(found: Mapping[str, GroupScores]) -> str:
    """By ensemble what the groups are of, the scores of all rows and of each group, and the worst group by score."""
    return json.dumps({label: each.plain() for label, each in found.items()}, indent=2)


def _found(scores: Scores, name: str) -> tuple[float, tuple[float, float]]:
    """The value and the interval of a score, which may be one after calibration; NaN where there is none."""
    of = scores
    if name.startswith(CALIBRATED) and scores.calibrated is not None:
        of, name = scores.calibrated, name.removeprefix(CALIBRATED)
    return of.point.get(name, math.nan), of.intervals.get(name, (math.nan, math.nan))


def _natural(name: str) -> tuple[bool, float, str]:
    """Numbers by their size, then texts by the alphabet."""
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name
