"""Risk-coverage curves of all methods in one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lora_ensemble.report import seeds
from lora_ensemble.report.curves import COVERAGE
from lora_ensemble.report.parts import Cell, Mark, Section, Slider, Table
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import colours, house_style, one_axes, shortened
from lora_ensemble.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = 60
READING = (
    "What if the least confident predictions are handed to somebody else? From right to left fewer predictions are "
    "kept, and the curve shows how many of those are wrong. A useful confidence makes the curve fall to the left; "
    "lower is better. AURC is the area under the curve."
)
STEPS = (*COVERAGE[9:79:10], *COVERAGE[79:94:5], *COVERAGE[94:])
"""Shares that the slider offers."""
OVER_RUNS = " Lines are means over runs, with a band from the lowest to the highest."


def section(results: Results) -> Section | None:
    risks = {
        method: [run.curves.risk for run in runs if run.curves.risk is not None]
        for method, runs in results.methods.items()
    }
    risks = {method: values for method, values in risks.items() if values}
    if not risks:
        return None
    aurc = {method: seeds.score(results.methods[method], "aurc", digits=4) for method in risks}
    figure = risk_coverage_curves(
        COVERAGE,
        risks,
        labels={method: f"{method}, AURC {value}" for method, value in aurc.items()},
        colour=colours(list(results.methods)),
    )
    spoken = ", ".join(f"{method} AURC {value}" for method, value in aurc.items())
    tables = [_kept(results, risks, share) for share in STEPS]
    values = [f"{100 * share:.0f} %" for share in STEPS]
    mark = _mark(figure)
    svg = inline_svg(figure, "risk", f"Risk-coverage curves: {spoken}")
    parts = [Slider("Keep the most confident", values, tables, STEPS.index(0.9), svg, mark)]
    return Section("Selective prediction", READING + OVER_RUNS * results.repeated, parts)


def _kept(results: Results, risks: Mapping[str, Sequence[Sequence[float]]], share: float) -> Table:
    """What a share of the samples means for each method."""
    colour, at = colours(list(results.methods)), COVERAGE.index(share)
    rows: list[list[str | Cell]] = []
    for method, values in risks.items():
        samples = sum(int(run.scores.about["samples"]) for run in results.methods[method]) / len(values)
        wrong = seeds.mean_and_std([100 * risk[at] for risk in values], digits=2)
        rows.append([Cell(method, colour=colour[method]), f"{wrong} %", f"{(1 - share) * samples:,.0f}"])
    return Table(["method", "wrong among the kept", "handed over"], rows)


def _mark(figure: Figure) -> Mark:
    """Where the slider's line stands over the figure."""
    box = figure.axes[0].get_position()
    left = [round(100 * (box.x0 + share * box.width), 2) for share in STEPS]
    return Mark(72 * figure.get_figwidth(), left, round(100 * (1 - box.y1), 2), round(100 * box.height, 2))


# The figure ----------------------------------------------------------------------------------------------------------


@house_style
def risk_coverage_curves(
    coverage_K: ArrayLike,
    risk_SK: Mapping[str, ArrayLike],
    *,
    labels: Mapping[str, str] | None = None,
    colour: Mapping[str, str] | None = None,
) -> Figure:
    """A line per method, its mean over seeds; a band from the lowest to the highest seed where there are several.

    coverage_K: shares of the samples that are kept, 0 .. 1. risk_SK: by method, the error rates 0 .. 1 for each seed.
    labels: text in the legend, by method.
    """
    coverage_K = 100 * np.asarray(coverage_K, float)
    colour = colour or colours(list(risk_SK))
    figure, axes = one_axes(3.8, 2.9, left=0.55, top=0.12)
    for method, values in risk_SK.items():
        risk = 100 * np.atleast_2d(np.asarray(values, float))
        axes.plot(
            coverage_K, risk.mean(0), color=colour[method], label=shortened((labels or {}).get(method, method), 44)
        )
        if len(risk) > 1:
            axes.fill_between(coverage_K, risk.min(0), risk.max(0), color=colour[method], alpha=0.12, linewidth=0)
    axes.set(xlim=(0, 100), xlabel="predictions kept, most confident first", ylabel="wrong among the kept")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g} %")
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g} %")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.legend(loc="upper left")
    return figure
