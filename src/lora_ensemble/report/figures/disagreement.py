"""Member disagreement: on what share of the samples each pair of members predicts different classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lora_ensemble.report.style import INK, PANEL, SERIES, heading, house_style, one_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_NUMBERS = 8
"""Members up to which the cells hold their numbers."""


@house_style
def disagreement_matrix(
    disagreement_MM: ArrayLike, *, title: str = "", scale: float | None = None, colour: str = SERIES[0]
) -> Figure:
    """disagreement_MM: symmetric, 0 .. 1, of at least two members; its lower triangle is drawn, in percent.

    scale: the disagreement of the darkest cell, by default the largest one.
    """
    from matplotlib.patches import Rectangle

    matrix = np.asarray(disagreement_MM, float)
    rows, columns = np.tril_indices(len(matrix), -1)
    pairs = matrix[rows, columns]
    scale = scale or pairs.max() or 1.0
    figure, axes = one_axes(PANEL, PANEL)
    for row, column, value in zip(rows.tolist(), columns.tolist(), pairs.tolist(), strict=True):
        shade = 0.06 + 0.6 * min(value / scale, 1)
        axes.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, facecolor=colour, alpha=shade))
        if len(matrix) <= _MOST_NUMBERS:
            axes.text(column, row, f"{100 * value:.1f}", ha="center", va="center", color=INK, fontsize=7.5)
    step = -(-len(matrix) // 8)
    axes.set(xlim=(-0.6, len(matrix) - 1.4), ylim=(len(matrix) - 0.4, 0.4), aspect="equal", xlabel="member")
    axes.set(xticks=range(0, len(matrix) - 1, step), yticks=range(1, len(matrix), step), ylabel="member")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    heading(axes, title, f"mean {100 * pairs.mean():.1f} %")
    return figure
