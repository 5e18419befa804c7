"""What each additional member brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from lora_ensemble.analysis.naming import label
from lora_ensemble.report.parts import Figures, Legend, Part, Section
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import PANEL, colours, heading, house_style, one_axes
from lora_ensemble.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = 90
READING = (
    "Each score against the number of members that are pooled, as a mean over choices of that many members. Where a "
    "curve is flat, fewer members would do."
)


def section(results: Results) -> Section | None:
    if not any(run.curves.disagreement_MM for run in results.runs):
        return None
    curves = _curves(results)
    parts: list[Part] = [Legend(colours(list(results.methods))), Figures(curves)]
    return Section("Members", READING, parts) if curves else None


def _curves(results: Results) -> list[Markup]:
    found = {method: [run.curves.members for run in runs] for method, runs in results.methods.items()}
    svgs: list[Markup] = []
    for name in dict.fromkeys(name for runs in found.values() for curve in runs if curve for name in curve.mean):
        curves = {
            method: (curves[0].sizes, [curve.mean[name] for curve in curves])
            for method, runs in found.items()
            if (curves := [curve for curve in runs if curve is not None and name in curve.mean])
        }
        if curves:
            plain, _, ood = name.partition("[")
            figure = members_curves(
                curves,
                title=label(plain),
                remark=ood[:-1],
                colour=colours(list(results.methods)),
                legend=False,
            )
            svgs.append(inline_svg(figure, f"members-{len(svgs)}", f"{label(name)} by number of members"))
    return svgs


# The figure ----------------------------------------------------------------------------------------------------------


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
    low, high = axes.get_ylim()
    if high - low < 1e-6 * max(abs(low), abs(high)):  # what does not change but for rounding is drawn as a level line
        axes.set_ylim(low - 0.05 * max(abs(low), 1e-3), high + 0.05 * max(abs(high), 1e-3))
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
