"""Scores against the one field in which the experiments differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from lora_ensemble.analysis.naming import label
from lora_ensemble.report.parts import Figures, Folded, Part, Section, Table
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import PANEL, SERIES, heading, house_style, one_axes, shortened
from lora_ensemble.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = 20
READING = "The experiments differ in nothing but {field}."
CURVES = " Its values stand at equal distances; a dot is a run, a line the mean over runs."


def section(results: Results) -> Section | None:
    study = results.study
    if study is None or len(study.values) < 2:
        return None
    compared = study.table(results.table())
    header, rows, bold = compared.cells()
    header = [study.field, *(label(name, arrow=True) for name in compared.columns)]
    parts: list[Part] = [Table(header, rows, bold)]
    if study.numeric:
        parts = [Figures(_curves(results)), Folded("As a table", parts)]
    name = study.field.rpartition(".")[2].replace("_", " ")
    return Section(f"Effect of {name}", READING.format(field=study.field) + CURVES * study.numeric, parts)


def _curves(results: Results) -> list[Markup]:
    assert results.study is not None
    order = [method for method in results.study.order if method in results.methods]
    values = [str(results.study.values[method]) for method in order]
    svgs = []
    for number, name in enumerate(results.table().columns):
        scores = [[run.scores.point.get(name, float("nan")) for run in results.methods[method]] for method in order]
        if all(score == score for seeds in scores for score in seeds):
            figure = study_curve(values, scores, title=label(name), field=results.study.field)
            svgs.append(inline_svg(figure, f"study-{number}", f"{label(name)} by {results.study.field}"))
    return svgs


# The figure ----------------------------------------------------------------------------------------------------------


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
