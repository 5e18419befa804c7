"""On what share of the samples each pair of members predicts different classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from lora_ensemble.report import seeds
from lora_ensemble.report.parts import Figures, Section
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import INK, PANEL, SERIES, colours, heading, house_style, one_axes
from lora_ensemble.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = 95

READING = (
    "Members that always agree add nothing: on what share of the samples do two of them predict different classes?"
)

_MOST_MEMBERS = 32
"""Members up to which their matrix is drawn."""


def section(results: Results) -> Section | None:
    made = _pairs(results)
    return Section("Disagreement of members", READING, [Figures(made)]) if made else None


def _pairs(results: Results) -> list[Markup]:
    matrices = {
        method: np.mean([run.curves.disagreement_MM for run in runs], 0)
        for method, runs in results.methods.items()
        if 1 < len(runs[0].curves.disagreement_MM) <= _MOST_MEMBERS
    }
    colour = colours(list(results.methods))
    scale = max((matrix.max() for matrix in matrices.values()), default=1.0)
    svgs = []
    for i, (method, matrix) in enumerate(matrices.items()):
        figure = disagreement_matrix(matrix, title=method, scale=scale, colour=colour[method])
        mean = seeds.score(results.methods[method], "disagreement")
        svgs.append(inline_svg(figure, f"disagreement-{i}", f"Disagreement of the members of {method}, mean {mean}"))
    return svgs


# The figure ----------------------------------------------------------------------------------------------------------

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
