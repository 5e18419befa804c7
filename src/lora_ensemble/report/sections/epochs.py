"""Scores and uncertainties over the epochs of the training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lora_ensemble.analysis import EpochsCurve
from lora_ensemble.analysis.naming import label
from lora_ensemble.report.figures import epoch_curves
from lora_ensemble.report.html import Section, legend, panels
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import colours
from lora_ensemble.report.svg import inline_svg

READING = (
    "Epoch 0 is before training. Entropy is the total uncertainty of an average prediction, in nats; expected entropy "
    "is what its members have each by themselves (aleatoric), mutual information what they differ by (epistemic)."
)
READING_OOD = " Uncertainties are shown of each data set, and AUROC is how well they tell the two kinds apart."

SCORES = ("accuracy", "nll", "ece_15")
UNCERTAINTIES = ("total", "aleatoric", "epistemic")
DETECTORS = ("auroc_msp", "auroc_entropy", "auroc_mutual_information")


def section(results: Results) -> Section | None:
    curves = {
        method: [run.epochs for run in runs if run.epochs is not None] for method, runs in results.methods.items()
    }
    curves = {method: found for method, found in curves.items() if found}
    if not curves:
        return None
    every = [curve for found in curves.values() for curve in found]
    sets = list(dict.fromkeys(name.partition("[")[2][:-1] for curve in every for name in curve.ensemble if "[" in name))
    svgs = [
        _panel(results, curves, name, {"ensemble": _ensemble(name), "one member": _member(name)}) for name in SCORES
    ]
    for name in UNCERTAINTIES:
        shown = {"in distribution": _ensemble(name), **{s: _ensemble(f"{name}[{s}]") for s in sets}}
        svgs.append(_panel(results, curves, name, shown if sets else {"": _ensemble(name)}))
    for name in DETECTORS if sets else ():
        svgs.append(_panel(results, curves, name, {s: _ensemble(f"{name}[{s}]") for s in sets}))
    content = legend(colours(list(results.methods))) + panels(svg for svg in svgs if svg)
    return Section("Over epochs", READING + READING_OOD * bool(sets), content)


Values = Callable[[EpochsCurve], Sequence[float] | None]


def _ensemble(name: str) -> Values:
    return lambda curve: curve.ensemble.get(name)


def _member(name: str) -> Values:
    return lambda curve: curve.member.get(name)


def _panel(results: Results, curves: dict[str, list[EpochsCurve]], name: str, shown: dict[str, Values]) -> str:
    """One score; nothing for one that no run has."""
    lines = {}
    for kind, values in shown.items():
        found = {
            method: (runs[0].epochs, [v for run in runs if run.epochs == runs[0].epochs and (v := values(run))])
            for method, runs in curves.items()
            if values(runs[0])
        }
        if found:
            lines[kind] = found
    if not lines:
        return ""
    figure = epoch_curves(lines, title=label(name), colour=colours(list(results.methods)))
    return inline_svg(figure, f"epochs-{name.replace('_', '-')}", f"{label(name)} by epoch")
