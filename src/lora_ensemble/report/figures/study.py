"""Scores against a field in which experiments differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lora_ensemble.report.style import PANEL, SERIES, heading, house_style, one_axes, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@house_style
def study_curve(
    values: Sequence[str], scores: Sequence[ArrayLike], *, title: str = "", field: str = "", colour: str = SERIES[0]
) -> Figure:
    """values: K of the field, as they are written, at equal distances. scores: for each, the score of every seed (S,):
    dots are seeds, the line is their mean."""
    figure, axes = one_axes(PANEL, 2.3)
    means = [float(np.mean(np.asarray(s, float))) for s in scores]
    axes.plot(range(len(values)), means, "-", color=colour)
    for k, seeds in enumerate(scores):
        dots = np.atleast_1d(np.asarray(seeds, float))
        axes.plot([k] * len(dots), dots, "o", markersize=3.0, color=colour, alpha=0.6 if len(dots) > 1 else 1)
    axes.set(xlabel=field, xlim=(-0.3, len(values) - 0.7))
    axes.set_xticks(range(len(values)), [shortened(value, 8) for value in values])
    axes.locator_params(axis="y", nbins=4)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    heading(axes, title)
    return figure
