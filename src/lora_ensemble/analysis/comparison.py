"""table: several methods side by side, mean ± standard deviation over runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lora_ensemble.analysis.naming import common, digits_of
from lora_ensemble.analysis.rendering import arrow, latex, markdown, mean, number, std
from lora_ensemble.analysis.scoring import better
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.printable import html_table


@dataclass(frozen=True)
class Table:
    """Means and standard deviations of scores, a row per method. Built by `table`."""

    mean: dict[str, dict[str, float]]
    """Mean over runs by method and score; NaN where it is not defined."""
    std: dict[str, dict[str, float]]
    """Sample standard deviation over runs; NaN for fewer than two runs."""
    runs: dict[str, int]
    """Number of runs of each method."""
    columns: tuple[str, ...]
    """The scores, in order."""
    directions: dict[str, str | None]
    """"higher" or "lower" where one is better."""
    head: str = "method"
    """What the rows are."""

    def to_markdown(self, digits: int | None = None) -> str:
        """Methods are rows; the best value of a column is bold, with all that look the same at these digits.

        digits: after the point; by default 3, or what the score's metric file asks for in DIGITS."""
        return markdown(*self.cells(digits))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_table(*self.cells())

    def to_latex(self, digits: int | None = None) -> str:
        """The same table as a LaTeX tabular (package booktabs)."""
        return latex(*self.cells(digits))

    def to_json(self) -> str:
        """{method: {"runs": n, score: {"mean": m, "std": s}}}; null where a value is not defined."""

        def null(value: float) -> float | None:
            return value if math.isfinite(value) else None

        rows = {
            method: {"runs": self.runs[method]}
            | {c: {"mean": null(self.mean[method][c]), "std": null(self.std[method][c])} for c in self.columns}
            for method in self.mean
        }
        return json.dumps(rows, indent=2)

    def cells(self, digits: int | None = None) -> tuple[list[str], list[list[str]], set[tuple[int, int]]]:
        """The head, the rows, and the (row, column) of the best values, as texts."""
        header = [self.head] + [arrow(name, self.directions[name]) for name in self.columns]
        rows = [[method, *(self.cell(method, name, digits) for name in self.columns)] for method in self.mean]
        bold = {(i, j) for j, name in enumerate(self.columns, start=1) for i in self._best(name, digits)}
        return header, rows, bold

    def cell(self, method: str, name: str, digits: int | None = None) -> str:
        """A value as the table shows it."""
        return number(self.mean[method][name], self.std[method][name], digits=digits_of(name, digits))

    def _best(self, name: str, digits: int | None) -> list[int]:
        """Rows that hold the best value of a column; none where there is nothing to choose from."""
        values = [round(means[name], digits_of(name, digits)) for means in self.mean.values()]
        defined = [value for value in values if not math.isnan(value)]
        if self.directions[name] is None or len(defined) < 2:
            return []
        best = max(defined) if self.directions[name] == "higher" else min(defined)
        return [i for i, value in enumerate(values) if value == best]


def table(
    results: Mapping[str, Sequence[Mapping[str, float]]],
    columns: Sequence[str] | None = None,
    directions: Mapping[str, str | None] | None = None,
) -> Table:
    """Compare methods: `results` holds, for each, the scores of its runs (seeds).

    columns: scores to show; by default the common ones that occur, of every OOD set. A score that a method does not
    have is "-".
    directions: "higher" or "lower" is better, for columns that are not scores of ours (seconds, parameters).
    Raises UnknownNameError for a column that no method has, DataError for a method without runs.
    """
    for method, runs in results.items():
        if not runs:
            raise DataError(f"method {method!r} has no runs")
    available = dict.fromkeys(name for runs in results.values() for scores in runs for name in scores)
    columns = tuple(columns) if columns is not None else common(available)
    for name in columns:
        if name not in available:
            raise UnknownNameError("score", name, available)
    values = {
        method: {name: [scores.get(name, math.nan) for scores in runs] for name in columns}
        for method, runs in results.items()
    }
    return Table(
        mean={method: {name: mean(v) for name, v in row.items()} for method, row in values.items()},
        std={method: {name: std(v) for name, v in row.items()} for method, row in values.items()},
        runs={method: len(runs) for method, runs in results.items()},
        columns=columns,
        directions={name: (directions or {}).get(name) or better(name) for name in columns},
    )
