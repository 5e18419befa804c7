"""What is predicted of each class: a confusion matrix, the most common mix-ups, and a table of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lora_ensemble.report.parts import Figures, Folded, Heading, Part, Section, Table
from lora_ensemble.report.results import Results
from lora_ensemble.report.run_result import RunResult
from lora_ensemble.report.style import INK, PANEL, SERIES, colours, heading, house_style, one_axes, shortened
from lora_ensemble.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = 35

READING = "Which classes are found, and which are taken for others? "
MATRIX = "Rows are labels, columns are predictions; the fuller a cell, the larger the share of the label's samples. "
MEANING = (
    "Recall is the share of a class's samples that is found, precision the share of its predictions that is right."
)
OVER_RUNS = " Samples of all runs of a method are counted together."

_MOST_DRAWN = 20
"""Classes up to which the matrix is drawn."""
_MOST_ROWS = 40
"""Of more classes than are drawn, so many of lowest F1 are listed."""
_MOST_OPEN = 12
"""Rows of a long list that are seen at once; the others open on a click."""
_MIX_UPS = 12


def section(results: Results) -> Section | None:
    found = {
        method: (runs[0], sum(run.classes.counts_CC for run in runs if run.classes is not None))
        for method, runs in results.methods.items()
        if runs[0].classes is not None
    }
    if not found:
        return None
    colour, drawn = colours(list(results.methods)), []
    folded: list[Part] = []
    for i, (method, (run, counts)) in enumerate(found.items()):
        assert run.classes is not None
        names, counts_CC = run.classes.names, np.asarray(counts)
        if len(names) <= _MOST_DRAWN:
            figure = confusion_matrix(counts_CC, names, title=method, colour=colour[method])
            drawn.append(inline_svg(figure, f"confusion-{i}", f"Confusion matrix of {method}"))
        own = _tables(run, names, counts_CC)
        folded += [Folded(f"Classes of {method}", own)] if len(found) > 1 else own
    figures: list[Part] = [Figures(drawn)] if drawn else []
    reading = READING + MATRIX * bool(drawn) + MEANING + OVER_RUNS * results.repeated
    return Section("Classes", reading, [*figures, *folded])


def _tables(run: RunResult, names: Sequence[str], counts_CC: np.ndarray) -> list[Part]:
    table = _per_class(run, names, counts_CC)
    parts: list[Part] = [table]
    if len(table.rows) > _MOST_DRAWN:
        first, others = replace(table, rows=table.rows[:_MOST_OPEN]), replace(table, rows=table.rows[_MOST_OPEN:])
        parts = [Heading("Classes that are told worst"), first, Folded(f"{len(others.rows)} more classes", [others])]
    if mixed := _mix_ups(names, counts_CC):
        header = ["label", "predicted as", "samples", "of the label"]
        parts += [Heading("Most common mix-ups"), Table(header, mixed, texts=2)]
    return parts


def _per_class(run: RunResult, names: Sequence[str], counts_CC: np.ndarray) -> Table:
    assert run.classes is not None
    hits_C, labels_C, guesses_C = counts_CC.diagonal(), counts_CC.sum(1), counts_CC.sum(0)
    f1_C = 2 * hits_C / np.maximum(labels_C + guesses_C, 1)
    listed = [c for c in range(len(names)) if labels_C[c] + guesses_C[c]]
    if len(listed) > _MOST_DRAWN:
        listed = sorted(listed, key=lambda c: float(f1_C[c]))[:_MOST_ROWS]
    rows = [
        [
            names[c],
            f"{labels_C[c]:,}",
            _share(hits_C[c], labels_C[c]),
            _share(hits_C[c], guesses_C[c]),
            f"{f1_C[c]:.3f}",
            _nats(run.classes.total_C[c]),
            _nats(run.classes.epistemic_C[c]),
        ]
        for c in listed
    ]
    return Table(["class", "samples", "recall", "precision", "F1", "mean total", "mean epistemic"], rows)


def _mix_ups(names: Sequence[str], counts_CC: np.ndarray) -> list[list[str]]:
    wrong_CC = counts_CC - np.diag(counts_CC.diagonal())
    order = np.argsort(-wrong_CC, axis=None, kind="stable")[:_MIX_UPS]
    pairs = [(int(k) // len(names), int(k) % len(names)) for k in order]
    return [
        [names[a], names[b], f"{wrong_CC[a, b]:,}", _share(wrong_CC[a, b], counts_CC[a].sum())]
        for a, b in pairs
        if wrong_CC[a, b]
    ]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


def _nats(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


# The figure ----------------------------------------------------------------------------------------------------------


@house_style
def confusion_matrix(
    counts_CC: np.ndarray, names: Sequence[str], *, title: str = "", colour: str = SERIES[0]
) -> Figure:
    """counts_CC: samples by label (down) and prediction (across). A cell is the fuller, the larger its share of the
    label's samples; it holds their number where there is room."""
    from matplotlib.patches import Rectangle

    size = len(names)
    left = 0.3 + 0.062 * max(len(shortened(name, 14)) for name in names)
    figure, axes = one_axes(PANEL + 0.4, PANEL + 0.4, left=left, bottom=left)
    share_CC = counts_CC / np.maximum(counts_CC.sum(1, keepdims=True), 1)
    for row, column in np.argwhere(counts_CC > 0).tolist():
        alpha = 0.08 + 0.62 * float(share_CC[row, column])
        axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, facecolor=colour, alpha=alpha))
        if size <= 12:
            text = f"{counts_CC[row, column]}"
            axes.text(column, row, text, ha="center", va="center", color=INK, fontsize=7 - max(0, len(text) - 3))
    ticks = [shortened(name, 14) for name in names]
    axes.set(xlim=(-0.6, size - 0.4), ylim=(size - 0.4, -0.6), aspect="equal", xlabel="predicted", ylabel="label")
    axes.set_xticks(range(size), ticks, rotation=90)
    axes.set_yticks(range(size), ticks)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    heading(axes, title)
    return figure
