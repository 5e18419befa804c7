"""How well uncertainty tells an OOD set apart: ROC curves, and entropy and mutual information together."""

from __future__ import annotations

from html import escape
from itertools import count

import numpy as np

from lora_ensemble.report import seeds
from lora_ensemble.report.curves import EDGES, FALSE_ALARMS
from lora_ensemble.report.figures import joint_histogram, roc_curves
from lora_ensemble.report.html import Section, folded, legend, panels, reading
from lora_ensemble.report.results import Results, RunResult
from lora_ensemble.report.style import colours
from lora_ensemble.report.svg import inline_svg
from lora_ensemble.report.words import UNCERTAINTIES

READING = (
    "An alarm for every prediction that is more uncertain than a threshold: how many samples of the other kind does it "
    "find (up), at the price of how many false alarms (across)? Each threshold is a point of the curve; the nearer to "
    "the upper left, the better, and the dotted line is chance. AUROC is the area under the curve."
)
JOINT = (
    "Entropy (total uncertainty) and mutual information (its epistemic part) of the same predictions. The fuller the "
    "colour of a cell, the more samples of the split are in it; the larger a circle, the more of the other kind. At "
    "the dotted line all uncertainty is disagreement of the members; further below, each is uncertain by itself."
)


def section(results: Results) -> Section | None:
    sets = list(dict.fromkeys(name for run in results.runs for name in run.curves.entropy.outside))
    if not sets or not any(run.curves.roc for run in results.runs):
        return None
    content = legend(colours(list(results.methods)))
    number = count()
    for ood in sets:
        drawn = [_roc(results, name, ood, next(number)) for name in UNCERTAINTIES]
        content += (f"<h3>{escape(ood)}</h3>" if len(sets) > 1 else "") + panels(svg for svg in drawn if svg)
    if joint := [svg for ood in sets for svg in _joint(results, ood, number)]:
        content += folded("Entropy and mutual information together", reading(JOINT) + panels(joint))
    return Section("Out of distribution", READING, content)


def _roc(results: Results, name: str, ood: str, number: int) -> str:
    """The curves of all methods by one uncertainty; nothing where no method has it."""
    found = {
        method: [run.curves.roc[name][ood] for run in runs if ood in run.curves.roc.get(name, {})]
        for method, runs in results.methods.items()
    }
    found = {method: values for method, values in found.items() if values}
    if not found:
        return ""
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


def _joint(results: Results, ood: str, number: count) -> list[str]:
    """One for each method with several members, on the same axes."""
    pooled = {method: _pooled(runs, ood) for method, runs in results.methods.items()}
    shown = {method: counts for method, counts in pooled.items() if counts is not None}
    if not shown:
        return []
    first, last = _visible(sum(inside + outside for inside, outside in shown.values()))
    colour = colours(list(results.methods))
    svgs = []
    for method, counts in shown.items():
        inside, outside = (_joined(part, first, last) for part in counts)
        edges = EDGES[first : last + 2]
        sets = ("in distribution", ood)
        figure = joint_histogram(edges, inside, outside, title=method, sets=sets, colour=colour[method])
        svgs.append(inline_svg(figure, f"joint-{next(number)}", f"Entropy and mutual information of {method}, {ood}"))
    return svgs


def _pooled(runs: list[RunResult], ood: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Counts of the split and of an OOD set, the samples of all seeds together."""
    joints = [run.curves.joint for run in runs if run.curves.joint is not None and ood in run.curves.joint.outside]
    if not joints:
        return None
    return sum(_counts(j.inside) for j in joints), sum(_counts(j.outside[ood]) for j in joints)  # type: ignore


def _counts(cells) -> np.ndarray:
    """(K, K) from the cells that are not empty."""
    counts_KK = np.zeros((len(EDGES) - 1,) * 2)
    for i, j, samples in cells:
        counts_KK[i, j] += samples
    return counts_KK


def _visible(counts_KK: np.ndarray) -> tuple[int, int]:
    """The first and last bin that hold more than a hundredth of all, of either uncertainty."""
    shares = np.stack([counts_KK.sum(0), counts_KK.sum(1)]) / counts_KK.sum()
    seen = np.flatnonzero((shares > 0.01).any(0))
    return int(seen[0]), int(seen[-1])


def _joined(counts_KK: np.ndarray, first: int, last: int) -> np.ndarray:
    """Bins first .. last of both axes, with everything outside counted in the outermost."""
    at = np.clip(np.arange(len(counts_KK)), first, last) - first
    kept = np.zeros((last - first + 1,) * 2)
    np.add.at(kept, (at[:, None], at[None, :]), counts_KK)
    return kept
