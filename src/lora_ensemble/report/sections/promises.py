"""What is promised of new rows: sets that hold the label, and answers of which few are wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lora_ensemble.report import seeds
from lora_ensemble.report.parts import Cell, Heading, Legend, Mark, Part, Section, Slider, Table, Text
from lora_ensemble.report.promises import Answers, Promises, Sets
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import INK, colours, house_style, one_axes
from lora_ensemble.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = 62

READING = (
    "Thresholds that were fitted to {rows} rows of validation, and what they do on the samples of this report. The "
    "promises hold for new rows of the same kind as those of validation, not for others."
)
SETS = (
    "A set of classes in place of one: with the promised coverage, on average over validation splits, the label of a "
    "new row is among them (conformal prediction, {kind}). Where predictions are certain a set holds one class; as "
    "none is empty, a promise below the accuracy is exceeded."
)
ANSWERS = (
    "Rows of little uncertainty ({by}) are answered, the others handed to a person. With {confidence:.0%} confidence "
    "at most the promised share of the answers is wrong; - stands for a risk that these validation rows cannot promise."
)

Group = Mapping[str, Sequence[Promises]]
"""The promises of each method's runs."""


def section(results: Results) -> Section | None:
    found = {m: [run.promises for run in runs if run.promises is not None] for m, runs in results.methods.items()}
    group = {method: promises for method, promises in found.items() if promises}
    if not group:
        return None
    first = next(iter(group.values()))[0]
    colour = colours(list(results.methods))
    parts: list[Part] = [
        Heading("Sets that hold the label"),
        Text(SETS.format(kind=first.kind.upper())),
        _sets(group, colour),
        Heading("Answers, or a person"),
        Text(ANSWERS.format(by=first.by, confidence=first.confidence)),
        _answers(group, colour),
    ]
    if len(group) > 1:
        parts.insert(0, Legend({method: colour[method] for method in group}))
    return Section("With a promise", READING.format(rows=f"{first.rows:,}"), parts)


def _sets(group: Group, colour: Mapping[str, str]) -> Slider:
    targets = [sets.target for sets in next(iter(group.values()))[0].sets]
    header = ["method", "label in the set", "classes in a set", "sets of one class", "least covered class"]
    tables = []
    for k in range(len(targets)):
        own = {method: [p.sets[k] for p in promises] for method, promises in group.items()}
        rows: list[list[str | Cell]] = [[Cell(m, colour=colour[m]), *_of_sets(sets)] for m, sets in own.items()]
        tables.append(Table(header, rows))
    lines = {m: [[_nan(s.coverage) for s in p.sets] for p in promises] for m, promises in group.items()}
    figure = target_curves(targets, lines, "promised coverage", "label in the set", colour=colour)
    return _slider("Promised coverage", targets, tables, targets.index(0.9), figure, "sets")


def _of_sets(sets: Sequence[Sets]) -> list[str | Cell]:
    one = sets[0]
    interval = "" if len(sets) > 1 or one.low is None else f"{100 * one.low:.1f} to {100 * _nan(one.high):.1f} %"
    worst = min((s for s in sets if s.worst is not None), key=lambda s: _nan(s.worst), default=None)
    least = "-" if worst is None else f"{100 * _nan(worst.worst):.1f} % ({worst.worst_class})"
    return [
        Cell(_percent([s.coverage for s in sets]), interval),
        seeds.mean_and_std([s.size for s in sets], digits=2),
        _percent([s.single for s in sets]),
        least,
    ]


def _answers(group: Group, colour: Mapping[str, str]) -> Slider:
    targets = [answers.target for answers in next(iter(group.values()))[0].answers]
    header = ["method", "answered", "wrong answers", "threshold, nats"]
    tables = []
    for k in range(len(targets)):
        own = {method: [p.answers[k] for p in promises] for method, promises in group.items()}
        rows: list[list[str | Cell]] = [[Cell(m, colour=colour[m]), *_of_answers(found)] for m, found in own.items()]
        tables.append(Table(header, rows))
    lines = {m: [[_nan(a.kept) for a in p.answers] for p in promises] for m, promises in group.items()}
    figure = target_curves(targets, lines, "promised share of wrong answers", "answered", colour=colour, diagonal=False)
    kept = [any(p.answers[k].kept is not None for own in group.values() for p in own) for k in range(len(targets))]
    start = kept.index(True, targets.index(0.02)) if any(kept[targets.index(0.02) :]) else len(targets) - 1
    return _slider("Promised share of wrong answers, at most", targets, tables, start, figure, "answers")


def _of_answers(found: Sequence[Answers]) -> list[str | Cell]:
    threshold = seeds.mean_and_std([_nan(a.threshold) for a in found])
    return [_percent([a.kept for a in found]), _percent([a.risk for a in found], digits=2), threshold]


def _slider(
    label: str, targets: Sequence[float], tables: Sequence[Table], start: int, figure: Figure, key: str
) -> Slider:
    axes = figure.axes[0]
    box, (low, high) = axes.get_position(), axes.get_xlim()
    scale: Callable[[float], float] = math.log if axes.get_xscale() == "log" else float
    shares = [(scale(100 * t) - scale(low)) / (scale(high) - scale(low)) for t in targets]
    left = [round(100 * (box.x0 + share * box.width), 2) for share in shares]
    mark = Mark(72 * figure.get_figwidth(), left, round(100 * (1 - box.y1), 2), round(100 * box.height, 2))
    svg = inline_svg(figure, f"promised-{key}", f"{axes.get_ylabel()} by {axes.get_xlabel()}")
    return Slider(label, [f"{100 * target:g} %" for target in targets], tables, start, svg, mark)


def _percent(values: Sequence[float | None], digits: int = 1) -> str:
    """Mean ± deviation over runs; "-" where one of them has none."""
    text = seeds.mean_and_std([100 * _nan(value) for value in values], digits)
    return text if text == "-" else f"{text} %"


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


# The figure ----------------------------------------------------------------------------------------------------------


@house_style
def target_curves(
    targets_K: Sequence[float],
    values_SK: Mapping[str, ArrayLike],
    xlabel: str,
    ylabel: str,
    *,
    colour: Mapping[str, str] | None = None,
    diagonal: bool = True,
) -> Figure:
    """A line per method, its mean over seeds, of shares 0 .. 1 that came out against those that were promised.

    diagonal: with a dashed line where both are the same; without it the axis across is logarithmic."""
    colour = colour or colours(list(values_SK))
    figure, axes = one_axes(3.8, 2.4, left=0.55, top=0.12)
    targets = 100 * np.asarray(targets_K, float)
    for method, values in values_SK.items():
        shares_SK = 100 * np.atleast_2d(np.asarray(values, float))
        axes.plot(targets, shares_SK.mean(0), "o-", markersize=3, color=colour[method])
    if diagonal:
        axes.plot(targets[[0, -1]], targets[[0, -1]], color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set(xlim=(targets[0] - 2, 100), ylim=(None, 100.5))
    else:
        axes.set(xscale="log", xlim=(0.8 * targets[0], 1.25 * targets[-1]), ylim=(0, 102))
        axes.minorticks_off()
        axes.set_xticks([t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if targets[0] <= t <= targets[-1]])
    axes.set(xlabel=xlabel, ylabel=ylabel)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda x, _: f"{x:g} %")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return figure
