"""Scores and uncertainties over the epochs of the training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from lora_ensemble.analysis import EpochsCurve
from lora_ensemble.analysis.naming import label
from lora_ensemble.report.parts import Figures, Legend, Part, Section
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import DASHES, INK, PANEL, colours, heading, house_style, one_axes, shortened
from lora_ensemble.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = 70
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
    parts: list[Part] = [Legend(colours(list(results.methods))), Figures([svg for svg in svgs if svg])]
    return Section("Over epochs", READING + READING_OOD * bool(sets), parts)


Values = Callable[[EpochsCurve], Sequence[float] | None]


def _ensemble(name: str) -> Values:
    return lambda curve: curve.ensemble.get(name)


def _member(name: str) -> Values:
    return lambda curve: curve.member.get(name)


def _panel(results: Results, curves: dict[str, list[EpochsCurve]], name: str, shown: dict[str, Values]) -> Markup:
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
        return Markup()
    figure = epoch_curves(lines, title=label(name), colour=colours(list(results.methods)))
    return inline_svg(figure, f"epochs-{name.replace('_', '-')}", f"{label(name)} by epoch")


# The figure ----------------------------------------------------------------------------------------------------------


@house_style
def epoch_curves(
    curves: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
    *,
    title: str = "",
    colour: Mapping[str, str] | None = None,
) -> Figure:
    """curves: by what is shown (the ensemble and one member, or several data sets; a kind of line each) and by method
    (a colour each), the epochs (E,) and the score for each seed and epoch (S, E). A line is the mean over seeds."""
    from matplotlib.lines import Line2D

    colour = colour or colours(list(dict.fromkeys(method for part in curves.values() for method in part)))
    room = 0.16 * len(curves) if len(curves) > 1 else 0.0
    figure, axes = one_axes(PANEL, 2.2 + room, top=0.27 + room)
    styles = dict(zip(curves, DASHES * len(curves), strict=False))
    epochs = set()
    for number, (shown, part) in enumerate(curves.items()):
        for method, (epochs_E, values) in part.items():
            score = np.atleast_2d(np.asarray(values, float)).mean(0)
            marks = {"marker": "o", "markersize": 3.0} if number == 0 else {"linewidth": 1.1}
            axes.plot(np.asarray(epochs_E), score, color=colour[method], linestyle=styles[shown], **marks)
            epochs |= set(np.asarray(epochs_E).tolist())
    most = max(epochs)
    axes.set(xlabel="epoch", xlim=(-0.04 * max(most, 1), 1.04 * max(most, 1)), xticks=_ticks(most))
    axes.locator_params(axis="y", nbins=4)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    if len(curves) > 1:
        lines = [Line2D([], [], color=INK, linewidth=1.1, linestyle=style) for style in styles.values()]
        names = [shortened(name, 38) for name in styles]
        axes.legend(lines, names, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, handlelength=2.2)
    heading(axes, title, pad=6 + 72 * room)
    return figure


def _ticks(most: int) -> list[int]:
    """0, then at most six steps of equal whole width."""
    return list(range(0, most + 1, max(1, -(-most // 6))))
