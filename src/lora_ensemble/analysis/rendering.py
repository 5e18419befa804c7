"""Tables as markdown and LaTeX text; numbers and score names as both show them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from lora_ensemble.analysis.scoring import better
from lora_ensemble.printable import printable

_ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
_LATEX = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "_%&#${}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
    }
)


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; NaN if one value is."""
    return math.fsum(values) / len(values)


def std(values: Sequence[float]) -> float:
    """Sample standard deviation (divisor n - 1); NaN if one value is, or there is one value only."""
    if len(values) < 2:
        return math.nan
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def number(value: float, spread: float = math.nan, *, digits: int) -> str:
    """A value, with ± where its standard deviation is known; "-" where the value is not defined."""
    if math.isnan(value):
        return "-"
    value = round(value, digits) + 0.0  # -0.0 becomes 0.0
    return f"{value:.{digits}f}" + ("" if math.isnan(spread) else f" ± {spread:.{digits}f}")


def arrow(score: str, direction: str | None = None) -> str:
    """A score's name, with an arrow up where higher values are better and down where lower ones are."""
    return score + _ARROWS[direction or better(score)]


def markdown(
    header: Sequence[str], rows: Sequence[Sequence[str]], bold: Collection[tuple[int, int]] = frozenset()
) -> str:
    """A table; `bold` holds the (row, column) of emphasised cells."""

    def cell(text: str, emphasised: bool) -> str:
        text = printable(text).replace("|", r"\|")
        return f"**{text}**" if emphasised else text

    lines = [[cell(text, False) for text in header], ["---"] + ["---:"] * (len(header) - 1)]
    lines += [[cell(text, (i, j) in bold) for j, text in enumerate(row)] for i, row in enumerate(rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def latex(header: Sequence[str], rows: Sequence[Sequence[str]], bold: Collection[tuple[int, int]] = frozenset()) -> str:
    """A tabular with the rules of package booktabs."""

    def cell(text: str, emphasised: bool) -> str:
        text = printable(text).translate(_LATEX)
        return rf"\textbf{{{text}}}" if emphasised else text

    def line(cells: Sequence[str], i: int) -> str:
        return " & ".join(cell(text, (i, j) in bold) for j, text in enumerate(cells)) + r" \\"

    body = [line(row, i) for i, row in enumerate(rows)]
    top = [rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}", r"\toprule", line(header, -1), r"\midrule"]
    return "\n".join([*top, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"
