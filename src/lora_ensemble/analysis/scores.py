"""Scores: what `evaluate` returns; a mapping from name to value, with intervals and each member's own scores."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lora_ensemble.analysis.rendering import arrow, latex, markdown, mean, number, std
from lora_ensemble.analysis.scoring import CALIBRATED
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.printable import html_table


@dataclass(frozen=True, eq=False)
class Scores(Mapping[str, float]):
    """Scores of one ensemble on one split, by name. NaN where a score is not defined (shown as "-")."""

    point: dict[str, float]
    """The values."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95 % bootstrap intervals over samples; empty where none were asked for."""
    per_member: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """The scores of each member alone, (M,)."""
    about: dict[str, Any] = field(default_factory=dict)
    """How they were computed: members, samples, pooling, resamples, seed."""
    calibrated: Scores | None = None
    """The same scores of the same predictions after a calibration, where there is one; `about` names it."""

    def __getitem__(self, name: str) -> float:
        if name not in self.point:
            raise KeyError(str(UnknownNameError("score", name, self.point)))
        return self.point[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.point)

    def __len__(self) -> int:
        return len(self.point)

    def with_calibrated(self) -> dict[str, float]:
        """The values by name, and those after calibration as `calibrated_<name>`: a row of a table."""
        after = {} if self.calibrated is None else self.calibrated.point
        return {**self.point, **{f"{CALIBRATED}{name}": value for name, value in after.items()}}

    def only(self, names: Collection[str]) -> Scores:
        """Some of the scores, in their order here. Raises UnknownNameError for a name that there is not."""
        for name in names:
            if name not in self.point:
                raise UnknownNameError("score", name, self.point)
        tables = (self.point, self.intervals, self.per_member)
        point, intervals, per_member = ({n: v for n, v in table.items() if n in names} for table in tables)
        after = None if self.calibrated is None else self.calibrated.only(names)
        return Scores(point, intervals, per_member, self.about, after)  # type: ignore[arg-type]

    def interval(self, name: str) -> tuple[float, float]:
        """The 95 % interval of a score, (low, high). Raises UnknownNameError for a score without one."""
        if name not in self.intervals:
            raise UnknownNameError("interval of", name, self.intervals)
        return self.intervals[name]

    def member_mean(self, name: str) -> float:
        """Mean over members of the score of each one alone."""
        return mean(self._alone(name))

    def member_std(self, name: str) -> float:
        """Sample standard deviation over members of the score of each one alone; NaN for one member."""
        return std(self._alone(name))

    def _alone(self, name: str) -> tuple[float, ...]:
        if name not in self.per_member:
            raise UnknownNameError("score", name, self.per_member)
        return self.per_member[name]

    def to_markdown(self, digits: int = 4) -> str:
        """A table with a row per score: its value, its interval, and the mean ± std of the members alone."""
        return markdown(*self._cells(digits))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_table(*self._cells(4))

    def to_latex(self, digits: int = 4) -> str:
        """The same table as a LaTeX tabular (package booktabs)."""
        return latex(*self._cells(digits))

    def _cells(self, digits: int) -> tuple[list[str], list[list[str]]]:
        header = ["score", "value"] + ["95 % interval"] * bool(self.intervals) + ["one member"] * bool(self.per_member)
        after = self.calibrated
        if after is not None:
            header += ["calibrated"] + ["95 % interval"] * bool(after.intervals)
        rows = []
        for name, value in self.items():
            row = [arrow(name), number(value, digits=digits)]
            if self.intervals:
                row.append(self._between(name, digits))
            if self.per_member:
                row.append(number(self.member_mean(name), self.member_std(name), digits=digits))
            if after is not None:
                row.append(number(after.point.get(name, math.nan), digits=digits))
                row += [after._between(name, digits)] if after.intervals else []
            rows.append(row)
        return header, rows

    def _between(self, name: str, digits: int) -> str:
        low, high = (number(end, digits=digits) for end in self.intervals.get(name, (math.nan, math.nan)))
        return "-" if low == "-" else f"{low} to {high}"

    def to_json(self) -> str:
        """Everything, as JSON; NaN becomes null. `calibrated`, where there is a calibration, has the same keys."""
        return json.dumps(self._plain(), indent=2)

    def _plain(self) -> dict[str, Any]:
        values = {
            "about": self.about,
            "scores": {name: _null(value) for name, value in self.point.items()},
            "intervals": {name: [_null(end) for end in ends] for name, ends in self.intervals.items()},
            "per_member": {name: [_null(v) for v in values] for name, values in self.per_member.items()},
        }
        return values if self.calibrated is None else {**values, "calibrated": self.calibrated._plain()}

    @classmethod
    def from_json(cls, text: str) -> Scores:
        """The inverse of `to_json`. Raises DataError for other text."""
        try:
            data = json.loads(text)
            return cls(
                point={name: _nan(value) for name, value in data["scores"].items()},
                intervals={name: (_nan(low), _nan(high)) for name, (low, high) in data["intervals"].items()},
                per_member={name: tuple(map(_nan, values)) for name, values in data["per_member"].items()},
                about=data["about"],
                calibrated=cls.from_json(json.dumps(data["calibrated"])) if data.get("calibrated") else None,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"this is not the JSON of scores: {error!r}") from error


def _null(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
