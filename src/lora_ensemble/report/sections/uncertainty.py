"""Histograms of uncertainty, in and out of distribution."""

from __future__ import annotations

import numpy as np

from lora_ensemble.report import seeds
from lora_ensemble.report.curves import EDGES
from lora_ensemble.report.figures import uncertainty_histogram
from lora_ensemble.report.html import Section, folded, panels
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import colours
from lora_ensemble.report.svg import inline_svg
from lora_ensemble.report.words import UNCERTAINTIES

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
    content = panels(first[1])
    content += "".join(folded(f"The same with {NAMES[name]}", panels(svgs)) for name, svgs in others)
    with_ood = any(run.curves.entropy.outside for run in results.runs)
    return Section("Uncertainty", READING if with_ood else READING_INSIDE, content)


def _histograms(results: Results, name: str) -> list[str]:
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
