"""Members curve: how a score changes with the number of members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lora_ensemble.report.style import PANEL, colours, heading, house_style, one_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@house_style
def members_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str = "",
    remark: str = "",
    colour: Mapping[str, str] | None = None,
    legend: bool = True,
) -> Figure:
    """curves: by method, numbers of members (K,) and the score for each seed and number (S, K). A line is the mean over
    seeds; a method with one number only, such as a single network, is one point."""
    colour = colour or colours(list(curves))
    figure, axes = one_axes(PANEL, 2.3)
    for method, (sizes_K, values) in curves.items():
        score = np.atleast_2d(np.asarray(values, float)).mean(0)
        axes.plot(np.asarray(sizes_K), score, "o-", markersize=3.5, color=colour[method], label=method)
    most = max(int(np.max(sizes_K)) for sizes_K, _ in curves.values())
    axes.set(xlabel="members", xlim=(1 - 0.05 * most, most * 1.05), xticks=_ticks(most))
    axes.locator_params(axis="y", nbins=4)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    if legend:
        axes.legend()
    heading(axes, title, remark)
    return figure


def _ticks(most: int) -> list[int]:
    """1, then at most eight steps of equal whole width."""
    step = -(-most // 8)
    return sorted({1, *range(step, most + 1, step), most})
