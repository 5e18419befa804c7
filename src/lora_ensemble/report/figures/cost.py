"""Cost: one quantity per method as bars, its value beside each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lora_ensemble.report.style import INK, MUTED, PANEL, colours, heading, house_style, one_axes, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
