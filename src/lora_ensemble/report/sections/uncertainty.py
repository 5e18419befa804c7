"""Histograms of uncertainty, in and out of distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from lora_ensemble.report import seeds
from lora_ensemble.report.curves import EDGES
from lora_ensemble.report.parts import Figures, Folded, Part, Section
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import (
    DASHES,
    INK,
    PANEL,
    SERIES,
    colours,
    heading,
    house_style,
    one_axes,
    power,
    shortened,
)
from lora_ensemble.report.svg import inline_svg
from lora_ensemble.report.words import UNCERTAINTIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = 40
NAMES = UNCERTAINTIES
"""The first is shown, the others open on a click."""

READING = (
    "How uncertain are predictions on samples of the kind that was trained on (filled), and on samples of another kind "
    "(line), where a good method is less certain? The further apart the two, the better. AUROC is the probability "
    "that a sample of the other kind has the higher uncertainty of the two: 0.5 is chance, 1 is perfect. Entropy is "
    "the total uncertainty, in nats; mutual information is its epistemic part. The axis is logarithmic."
)
READING_INSIDE = (
    "How uncertain are the predictions? Entropy is the total uncertainty, in nats; mutual information is its epistemic "
    "part. The axis is logarithmic."
)

_VISIBLE = 0.005
"""Share of a set's samples below which a bin at either end of the axis joins its neighbour."""


def section(results: Results) -> Section | None:
    shown = {name: _histograms(results, name) for name in NAMES}
    first, *others = [(name, svgs) for name, svgs in shown.items() if svgs]
    parts: list[Part] = [Figures(first[1])]
    parts += [Folded(f"The same with {NAMES[name]}", [Figures(svgs)]) for name, svgs in others]
    with_ood = any(run.curves.entropy.outside for run in results.runs)
    return Section("Uncertainty", READING if with_ood else READING_INSIDE, parts)


def _histograms(results: Results, name: str) -> list[Markup]:
    """One for each method, on the same axes."""
    pooled = {
        method: seeds.pooled_histogram([getattr(run.curves, name) for run in runs])
        for method, runs in results.methods.items()
        # One member has nobody to disagree with: its mutual information is 0 on every sample.
        if name != "mutual_information" or runs[0].curves.disagreement_MM
    }
    if not pooled:
        return []
    every = [counts for inside, outside in pooled.values() for counts in (inside, *outside.values())]
    shares = np.array([counts / max(counts.sum(), 1) for counts in every])
    visible = np.flatnonzero((shares > _VISIBLE).any(0))
    first, last = int(visible[0]), int(visible[-1])
    top = 100 * max(_joined(row, first, last).max() for row in shares) * 1.05
    colour = colours(list(results.methods))
    svgs = []
    for i, (method, (inside, outside)) in enumerate(pooled.items()):
        aurocs = {ood: seeds.auroc(results.methods[method], name, ood) for ood in outside}
        figure = uncertainty_histogram(
            EDGES[first : last + 2],
            _joined(inside, first, last),
            {_named(ood, aurocs): _joined(counts, first, last) for ood, counts in outside.items()},
            title=method,
            remark=f"AUROC {next(iter(aurocs.values()))}" if len(aurocs) == 1 else "",
            label=NAMES[name] + ", nats" * (name != "msp"),
            top=top,
            colour=colour[method],
        )
        spoken = "".join(f", AUROC {value} against {ood}" for ood, value in aurocs.items())
        svgs.append(inline_svg(figure, f"{name}-{i}", f"{NAMES[name]} of {method}, histogram{spoken}"))
    return svgs


def _joined(counts: np.ndarray, first: int, last: int) -> np.ndarray:
    """Bins first .. last, with everything outside counted in these two."""
    kept = counts[first : last + 1].copy()
    kept[0] += counts[:first].sum()
    kept[-1] += counts[last + 1 :].sum()
    return kept


def _named(ood: str, aurocs: dict[str, str]) -> str:
    return ood if len(aurocs) == 1 else f"{ood}, AUROC {aurocs[ood]}"


# The figure ----------------------------------------------------------------------------------------------------------


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
    counted = np.asarray(counts, float)
    shares: np.ndarray = 100 * counted / max(counted.sum(), 1)
    return shares
