"""Scores of all methods as a table."""

from __future__ import annotations

import math

from lora_ensemble.analysis import Table as Compared
from lora_ensemble.analysis.naming import digits_of, label
from lora_ensemble.analysis.scoring import CALIBRATED
from lora_ensemble.report.parts import Cell, Code, Folded, Part, Section, Table
from lora_ensemble.report.results import Results
from lora_ensemble.report.run_result import RunResult
from lora_ensemble.report.style import colours

ORDER = 10


def section(results: Results) -> Section:
    """Mean ± standard deviation over seeds; with one run of each method, its 95 % interval over samples."""
    compared = results.table()
    header, _, bold = compared.cells()
    header = [header[0], *(label(name, arrow=True) for name in compared.columns)]
    colour = colours(list(results.methods))
    rows = [
        [Cell(method, colour=colour[method]), *(_cell(compared, runs, method, name) for name in compared.columns)]
        for method, runs in results.methods.items()
    ]
    texts = {"markdown": compared.to_markdown(), "LaTeX": compared.to_latex()}
    copies: list[Part] = [Folded(f"As {name}", [Code(text)]) for name, text in texts.items()]
    return Section("Scores", _reading(results, bool(bold)), [Table(header, rows, bold), *copies])


def _cell(compared: Compared, runs: list[RunResult], method: str, name: str) -> Cell:
    value, digits = compared.cell(method, name), digits_of(name)
    after, plain = runs[0].calibrated, name.removeprefix(CALIBRATED)
    scores = after.scores if after is not None and name != plain else runs[0].scores
    low, high = scores.intervals.get(plain, (math.nan, math.nan))
    if len(runs) > 1 or math.isnan(low):
        return Cell(value)
    return Cell(value, f"{low:.{digits}f} to {high:.{digits}f}")


def _reading(results: Results, bold: bool) -> str:
    sentences = ["Arrows say whether higher or lower is better" + "; the best value of a column is bold" * bold + "."]
    if results.repeated:
        sentences.append(f"Mean ± standard deviation over runs ({_numbers(results)}).")
    if any(len(runs) == 1 and runs[0].scores.intervals for runs in results.methods.values()):
        sentences.append(
            "Below a value is its 95 % interval: how far it would move with other test samples of the same kind."
        )
    return " ".join(sentences)


def _numbers(results: Results) -> str:
    numbers = {method: len(runs) for method, runs in results.methods.items()}
    if len(set(numbers.values())) == 1:
        return f"{next(iter(numbers.values()))} seeds of each method"
    return ", ".join(f"{number} of {method}" for method, number in numbers.items())
