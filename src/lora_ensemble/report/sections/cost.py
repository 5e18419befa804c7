"""What each method costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lora_ensemble.report.parts import Figures, Section
from lora_ensemble.report.results import Results
from lora_ensemble.report.run_result import COSTS
from lora_ensemble.report.style import INK, MUTED, PANEL, colours, heading, house_style, one_axes, shortened
from lora_ensemble.report.svg import inline_svg
from lora_ensemble.report.words import quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = 80
READING = "Time, as it was measured on one machine, and size. Shorter bars are cheaper."
OVER_RUNS = " Bars are means over runs, with a line from the lowest to the highest."


def section(results: Results) -> Section | None:
    colour = colours(list(results.methods))
    made = []
    for cost, title in COSTS.items():
        values = {
            method: [run.cost[cost] for run in runs if cost in run.cost] for method, runs in results.methods.items()
        }
        values = {method: v for method, v in values.items() if v}
        if values:
            figure = cost_bars(values, title=title, form=partial(quantity, cost), colour=colour)
            spoken = ", ".join(f"{method} {quantity(cost, sum(v) / len(v))}" for method, v in values.items())
            made.append(inline_svg(figure, f"cost-{cost.replace('_', '-')}", f"{title}: {spoken}"))
    return Section("Cost", READING + OVER_RUNS * results.repeated, [Figures(made)]) if made else None


# The figure ----------------------------------------------------------------------------------------------------------


@house_style
def cost_bars(
    values_S: Mapping[str, ArrayLike],
    *,
    title: str = "",
    form: Callable[[float], str] = "{:,.4g}".format,
    colour: Mapping[str, str] | None = None,
) -> Figure:
    """values_S: by method, a value for each seed. A bar is the mean over seeds, from 0; a whisker goes from the lowest
    to the highest one. form: how a value is written."""
    colour = colour or colours(list(values_S))
    values = [np.atleast_1d(np.asarray(v, float)) for v in values_S.values()]
    longest = max(v.max() for v in values) or 1.0
    names = [shortened(method, 18) for method in values_S]
    left = 0.15 + 0.065 * max(map(len, names))
    figure, axes = one_axes(PANEL, 0.4 + 0.24 * len(values), left=left, bottom=0.1)
    axes.barh(range(len(names)), [v.mean() for v in values], 0.62, color=[colour[method] for method in values_S])
    for row, v in enumerate(values):
        if len(v) > 1:
            axes.hlines(row, v.min(), v.max(), color=INK, linewidth=0.9)
        axes.text(v.max() + 0.02 * longest, row, form(float(v.mean())), va="center", color=INK)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 1.35 * longest), xticks=[])
    axes.invert_yaxis()
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=MUTED, labelsize=8)
    heading(axes, title)
    return figure
