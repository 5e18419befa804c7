"""ROC curves: the share of an OOD set that is found, against that of false alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lora_ensemble.report.style import MUTED, PANEL, colours, heading, house_style, one_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@house_style
def roc_curves(
    false_positive_K: ArrayLike,
    true_positive_SK: Mapping[str, ArrayLike],
    *,
    title: str = "",
    labels: Mapping[str, str] | None = None,
    colour: Mapping[str, str] | None = None,
) -> Figure:
    """A line per method, its mean over seeds. false_positive_K: shares of false alarms, 0 .. 1. true_positive_SK: by
    method, the shares 0 .. 1 that are found, for each seed. labels: text in the legend, by method."""
    colour = colour or colours(list(true_positive_SK))
    false_K = 100 * np.asarray(false_positive_K, float)
    figure, axes = one_axes(PANEL, PANEL, left=0.52)
    axes.plot([0, 100], [0, 100], color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
    for method, values in true_positive_SK.items():
        true_K = 100 * np.atleast_2d(np.asarray(values, float)).mean(0)
        # Up from the origin: what is found without any false alarm.
        line_K = (np.concatenate([[0], false_K]), np.concatenate([[0], true_K]))
        axes.plot(*line_K, color=colour[method], label=(labels or {}).get(method, method), linewidth=1.4)
    axes.set(xlim=(-1, 101), ylim=(-1, 101), xlabel="false alarms", ylabel="found", aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([0, 25, 50, 75, 100])
        axis.set_major_formatter(lambda x, _: f"{x:g} %")
    axes.legend(loc="lower right")
    heading(axes, title)
    return figure
