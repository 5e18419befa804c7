"""Scores and uncertainties against the severity of shifts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from lora_ensemble.analysis import ShiftCurve
from lora_ensemble.analysis.naming import label
from lora_ensemble.report.parts import Figures, Legend, Part, Section, Table
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import PANEL, colours, heading, house_style, one_axes
from lora_ensemble.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = 75
READING = (
    "What may be wrong with the rows that come one day, slight (1) to strong (5); 0 is the rows as they are. Lines are "
    "means over all shifts. An ensemble that can be trusted becomes uncertain as it becomes wrong; calibrated scores "
    "show how long a calibration to rows as they are still holds. The table has the error of each shift, as a mean "
    "over severities."
)


def section(results: Results) -> Section | None:
    curves = {m: [run.shift for run in runs if run.shift is not None] for m, runs in results.methods.items()}
    curves = {method: found for method, found in curves.items() if found}
    if not curves:
        return None
    colour = colours(list(results.methods))
    names = list(dict.fromkeys(name for found in curves.values() for name in found[0].mean))
    parts: list[Part] = [Legend(colour), Figures([_panel(curves, name, colour) for name in names])]
    if any(found[0].corruption_errors for found in curves.values()):
        parts.append(_errors(curves))
    return Section("Under shift", READING, parts)


def _panel(curves: Mapping[str, Sequence[ShiftCurve]], name: str, colour: Mapping[str, str]) -> Markup:
    lines = {
        method: (found[0].severities, [c.mean[name] for c in found if c.severities == found[0].severities])
        for method, found in curves.items()
        if name in found[0].mean
    }
    figure = severity_curves(lines, title=label(name), colour=colour)
    return inline_svg(figure, f"shift-{name.replace('_', '-')}", f"{label(name)} by severity")


def _errors(curves: Mapping[str, Sequence[ShiftCurve]]) -> Table:
    shifts = list(dict.fromkeys(shift for found in curves.values() for shift in found[0].corruption_errors))
    rows = [
        [shift, *(_mean([c.corruption_errors.get(shift, math.nan) for c in found]) for found in curves.values())]
        for shift in shifts
    ]
    means = (_mean([c.mean_corruption_error for c in found]) for found in curves.values())
    rows.append(["mean corruption error", *means])
    return Table(["error", *curves], rows)


def _mean(values: Sequence[float]) -> str:
    return "-" if math.isnan(math.fsum(values)) else f"{np.mean(values):.3f}"


# The figure ----------------------------------------------------------------------------------------------------------


@house_style
def severity_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], *, title: str = "", colour: Mapping[str, str] | None = None
) -> Figure:
    """curves: by method the severities (S,) and the score for each seed and severity (K, S). A line is the mean over
    seeds."""
    colour = colour or colours(list(curves))
    figure, axes = one_axes(PANEL, 2.2)
    for method, (severities_S, values) in curves.items():
        score_S = np.atleast_2d(np.asarray(values, float)).mean(0)
        axes.plot(np.asarray(severities_S), score_S, "o-", markersize=3.5, color=colour[method], label=method)
    most = max(int(np.max(severities_S)) for severities_S, _ in curves.values())
    axes.set(xlabel="severity", xlim=(-0.2, most + 0.2), xticks=range(most + 1))
    axes.locator_params(axis="y", nbins=4)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    heading(axes, title)
    return figure
