"""Joint distribution of entropy and mutual information, in and out of distribution."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray

from lora_ensemble.report.curves import EDGES
from lora_ensemble.report.parts import Figures, Section
from lora_ensemble.report.results import Results
from lora_ensemble.report.run_result import RunResult
from lora_ensemble.report.style import (
    INK,
    MUTED,
    PANEL,
    SERIES,
    colours,
    heading,
    house_style,
    one_axes,
    power,
    shortened,
)
from lora_ensemble.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ORDER = 55

READING = (
    "Entropy (total uncertainty) and mutual information (its epistemic part) of the same predictions. The fuller the "
    "colour of a cell, the more samples of the split are in it; the larger a circle, the more of the other kind. At "
    "the dotted line all uncertainty is disagreement of the members; further below, each is uncertain by itself."
)


def section(results: Results) -> Section | None:
    sets = list(dict.fromkeys(name for run in results.runs for name in run.curves.entropy.outside))
    number = count()
    made = [svg for ood in sets for svg in _joint(results, ood, number)]
    return Section("Entropy and mutual information together", READING, [Figures(made)]) if made else None


def _joint(results: Results, ood: str, number: Iterator[int]) -> list[Markup]:
    """One for each method with several members, on the same axes."""
    pooled = {method: _pooled(runs, ood) for method, runs in results.methods.items()}
    shown = {method: counts for method, counts in pooled.items() if counts is not None}
    if not shown:
        return []
    first, last = _visible(sum(inside + outside for inside, outside in shown.values()))
    colour = colours(list(results.methods))
    svgs = []
    for method, counts in shown.items():
        inside, outside = (_joined(part, first, last) for part in counts)
        edges = EDGES[first : last + 2]
        sets = ("in distribution", ood)
        figure = joint_histogram(edges, inside, outside, title=method, sets=sets, colour=colour[method])
        svgs.append(inline_svg(figure, f"joint-{next(number)}", f"Entropy and mutual information of {method}, {ood}"))
    return svgs


def _pooled(runs: list[RunResult], ood: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Counts of the split and of an OOD set, the samples of all seeds together."""
    joints = [run.curves.joint for run in runs if run.curves.joint is not None and ood in run.curves.joint.outside]
    if not joints:
        return None
    inside = np.sum([_counts(j.inside) for j in joints], 0)
    return inside, np.sum([_counts(j.outside[ood]) for j in joints], 0)


def _counts(cells: Iterable[Sequence[int]]) -> np.ndarray:
    """(K, K) from the cells that are not empty."""
    counts_KK = np.zeros((len(EDGES) - 1,) * 2)
    for i, j, samples in cells:
        counts_KK[i, j] += samples
    return counts_KK


def _visible(counts_KK: np.ndarray) -> tuple[int, int]:
    """The first and last bin that hold more than a hundredth of all, of either uncertainty."""
    shares = np.stack([counts_KK.sum(0), counts_KK.sum(1)]) / counts_KK.sum()
    seen = np.flatnonzero((shares > 0.01).any(0))
    return int(seen[0]), int(seen[-1])


def _joined(counts_KK: np.ndarray, first: int, last: int) -> np.ndarray:
    """Bins first .. last of both axes, with everything outside counted in the outermost."""
    at = np.clip(np.arange(len(counts_KK)), first, last) - first
    kept = np.zeros((last - first + 1,) * 2)
    np.add.at(kept, (at[:, None], at[None, :]), counts_KK)
    return kept


# The figure ----------------------------------------------------------------------------------------------------------

_SHADES = (0.12, 0.24, 0.38, 0.54, 0.72, 0.92)
_LARGEST = 0.95  # of a circle, in widths of a cell


@house_style
def joint_histogram(
    edges: Sequence[float],
    inside: ArrayLike,
    outside: ArrayLike,
    *,
    title: str = "",
    names: tuple[str, str] = ("entropy", "mutual information"),
    sets: tuple[str, str] = ("in distribution", "out of distribution"),
    colour: str = SERIES[0],
) -> Figure:
    """edges: K + 1, ascending and positive, of both axes, which are logarithmic. inside, outside: (K, K) counts of the
    samples of the split and of an OOD set, by the first uncertainty (across) and the second (up).

    Cells are the darker the more samples of the split are in them; the area of a circle is the share of the OOD set.
    """
    from matplotlib.collections import PathCollection, PolyCollection
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.path import Path

    room = 0.32
    figure, axes = one_axes(PANEL, PANEL + room, left=0.52, top=0.27 + room)
    at = np.log10(np.asarray(edges, float))
    inside_KK, outside_KK = (np.asarray(counts, float) / max(np.sum(counts), 1) for counts in (inside, outside))
    shade = np.ceil(len(_SHADES) * np.sqrt(inside_KK / max(inside_KK.max(), 1e-300))).astype(int)
    for level, alpha in enumerate(_SHADES, start=1):
        cells = [
            [(at[i], at[j]), (at[i + 1], at[j]), (at[i + 1], at[j + 1]), (at[i], at[j + 1])]
            for i, j in np.argwhere(shade == level)
        ]
        if cells:
            whole = Path.make_compound_path(*(Path([*cell, cell[0]], closed=True) for cell in cells))
            axes.add_collection(PathCollection([whole], facecolor=colour, alpha=alpha, linewidth=0))
    axes.plot(at[[0, -1]], at[[0, -1]], color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
    angle = np.linspace(0, 2 * np.pi, 13)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) / 2
    widest = _LARGEST * np.diff(at).min() / np.sqrt(max(outside_KK.max(), 1e-300))
    rings = [
        ring * np.sqrt(outside_KK[i, j]) * widest + [(at[i] + at[i + 1]) / 2, (at[j] + at[j + 1]) / 2]
        for i, j in np.argwhere(outside_KK > 0)
    ]
    axes.add_collection(PolyCollection(rings, facecolor="none", edgecolor=INK, linewidth=0.7))
    axes.set(xlim=at[[0, -1]], ylim=at[[0, -1]], xlabel=f"{names[0]}, nats", ylabel=f"{names[1]}, nats", aspect="equal")
    _mark_decades(axes, at)
    circle = Line2D([], [], marker="o", markersize=5, markerfacecolor="none", markeredgecolor=INK, linestyle="none")
    marks = [Patch(facecolor=colour, alpha=0.7), circle]
    axes.legend(marks, [shortened(s, 38) for s in sets], loc="lower left", bbox_to_anchor=(0, 1), borderpad=0)
    heading(axes, title, pad=6 + 72 * room)
    return figure


def _mark_decades(axes: Axes, at: NDArray[np.float64]) -> None:
    """Ticks at powers of ten; `at`: logarithms."""
    decades = [d for d in range(-9, 3) if at[0] - 1e-9 <= d <= at[-1] + 1e-9]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(decades, [power(10.0**d) for d in decades])
