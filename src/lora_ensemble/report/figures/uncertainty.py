"""Histogram of an uncertainty, in and out of distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lora_ensemble.report.style import DASHES, INK, PANEL, SERIES, heading, house_style, one_axes, power, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@house_style
def uncertainty_histogram(
    edges: ArrayLike,
    inside: ArrayLike,
    outside: Mapping[str, ArrayLike],
    *,
    title: str = "",
    remark: str = "",
    label: str = "uncertainty",
    top: float | None = None,
    colour: str = SERIES[0],
) -> Figure:
    """edges: K + 1 of the bins, ascending and positive; shown on a logarithmic axis. inside: K counts of samples of
    the split; outside: K counts for each OOD set, by its name. Heights are shares of a set's samples.

    top: end of the vertical axis in percent, the same for figures that are compared.
    """
    edges = np.asarray(edges, float)
    room = 0.16 * (1 + len(outside))
    figure, axes = one_axes(PANEL, 2.1 + room, top=0.27 + room)
    axes.stairs(_shares(inside), edges, fill=True, color=colour, alpha=0.8, label="in distribution")
    for (name, counts), dashes in zip(outside.items(), DASHES * len(outside), strict=False):
        axes.stairs(_shares(counts), edges, color=INK, linewidth=1.1, linestyle=dashes, label=shortened(name, 38))
    axes.set(xscale="log", xlabel=label, ylabel="samples", xlim=(edges[0], edges[-1]), ylim=(0, top))
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda x, _: power(x))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0f} %")
    axes.locator_params(axis="y", nbins=4)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderpad=0)
    heading(axes, title, remark, pad=6 + 72 * room)
    return figure


def _shares(counts: ArrayLike) -> np.ndarray:
    counts = np.asarray(counts, float)
    return 100 * counts / max(counts.sum(), 1)
