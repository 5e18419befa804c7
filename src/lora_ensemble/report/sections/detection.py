"""How well uncertainty tells an OOD set apart: ROC curves."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from lora_ensemble.report import seeds
from lora_ensemble.report.curves import FALSE_ALARMS
from lora_ensemble.report.parts import Figures, Heading, Legend, Part, Section
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import MUTED, PANEL, colours, heading, house_style, one_axes
from lora_ensemble.report.svg import inline_svg
from lora_ensemble.report.words import UNCERTAINTIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = 50
READING = (
    "An alarm for every prediction that is more uncertain than a threshold: how many samples of the other kind does it "
    "find (up), at the price of how many false alarms (across)? Each threshold is a point of the curve; the nearer to "
    "the upper left, the better, and the dotted line is chance. AUROC is the area under the curve."
)


def section(results: Results) -> Section | None:
    sets = list(dict.fromkeys(name for run in results.runs for name in run.curves.entropy.outside))
    if not sets or not any(run.curves.roc for run in results.runs):
        return None
    parts: list[Part] = [Legend(colours(list(results.methods)))]
    number = count()
    for ood in sets:
        drawn = [_roc(results, name, ood, next(number)) for name in UNCERTAINTIES]
        parts += [Heading(ood)] * (len(sets) > 1) + [Figures([svg for svg in drawn if svg])]
    return Section("Out of distribution", READING, parts)


def _roc(results: Results, name: str, ood: str, number: int) -> Markup:
    """The curves of all methods by one uncertainty; nothing where no method has it."""
    found = {
        method: [run.curves.roc[name][ood] for run in runs if ood in run.curves.roc.get(name, {})]
        for method, runs in results.methods.items()
    }
    found = {method: values for method, values in found.items() if values}
    if not found:
        return Markup()
    areas = {method: seeds.auroc(results.methods[method], name, ood) for method in found}
    figure = roc_curves(
        FALSE_ALARMS,
        found,
        title=UNCERTAINTIES[name],
        labels={method: f"AUROC {value}" for method, value in areas.items()},
        colour=colours(list(results.methods)),
    )
    spoken = ", ".join(f"{method} AUROC {value}" for method, value in areas.items())
    return inline_svg(figure, f"roc-{number}", f"ROC curves by {UNCERTAINTIES[name]} against {ood}: {spoken}")


# The figure ----------------------------------------------------------------------------------------------------------


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
