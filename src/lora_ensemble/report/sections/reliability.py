"""A reliability diagram for each method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from lora_ensemble.analysis import Scores, table
from lora_ensemble.analysis.naming import label
from lora_ensemble.report import seeds
from lora_ensemble.report.parts import Cell, Figures, Heading, Part, Section, Table, Text
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import INK, MUTED, PANEL, SERIES, colours, heading, house_style, one_axes, power
from lora_ensemble.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDER = 30
READING = (
    "Is a prediction of 80 % confidence right in 80 % of the cases? A solid bar is the accuracy of the predictions of "
    "about that confidence, and the dashed line is where it should end. A bar that stops short of it is overconfidence "
    "(the pale piece is what is missing), one that passes it is too much caution. The strip below counts the "
    "predictions behind each bar. ECE is the gap of an average prediction, in 15 bins; lower is better."
)
CALIBRATED = (
    " Calibrated predictions stand beside the raw ones: the calibration was fitted to the validation split, and knows "
    "nothing of the samples that are shown here."
)
SCORES = ("accuracy", "nll", "brier", "ece_15", "aurc")


def section(results: Results) -> Section | None:
    made = [found for i, method in enumerate(results.methods) if (found := _diagrams(results, method, i))]
    notes = dict.fromkeys(note for run in results.runs for note in run.notes)
    if not made:
        return None
    compared = _compared(results)
    reading = READING + CALIBRATED * bool(compared)
    alone = [Figures([svg for svgs in made for svg in svgs])]
    return Section("Calibration", reading, [*(map(Figures, made) if compared else alone), *compared, *map(Text, notes)])


def _diagrams(results: Results, method: str, number: int) -> list[Markup]:
    """Of the predictions as they are and, where there is a calibration, of the calibrated ones."""
    runs = results.methods[method]
    ours = [run.calibrated for run in runs if run.calibrated is not None]
    kinds = {"": [(run.scores, run.curves.reliability) for run in runs if run.curves.reliability is not None]}
    if ours:
        kinds[ours[0].name] = [(calibrated.scores, calibrated.reliability) for calibrated in ours]
    made = []
    for kind, found in kinds.items():
        if not found:
            continue
        ece = seeds.mean_and_std([scores.point["ece_15"] for scores, _ in found])
        title = kind or method
        bins = seeds.pooled_bins([bins for _, bins in found if bins is not None])
        figure = reliability_diagram(*bins, title=title, ece=ece, colour=colours(list(results.methods))[method])
        key = f"reliability-{number}{'-calibrated' * bool(kind)}"
        made.append(
            inline_svg(figure, key, f"Reliability diagram of {method}{kind and ', calibrated: ' + kind}, ECE {ece}")
        )
    return made


def _compared(results: Results) -> list[Part]:
    """The scores of raw and calibrated predictions, in one table."""
    colour = colours(list(results.methods))
    rows: dict[str, tuple[Cell, list[Scores]]] = {}
    for method, runs in results.methods.items():
        rows[method] = Cell(method, colour=colour[method]), [run.scores for run in runs]
        ours = [run.calibrated for run in runs if run.calibrated is not None]
        if ours:
            name = f"{method}, {ours[0].name}"
            rows[name] = Cell(f"calibrated: {ours[0].name}"), [calibrated.scores for calibrated in ours]
    if len(rows) == len(results.methods):
        return []
    made = table({name: scores for name, (_, scores) in rows.items()}, SCORES)
    _, _, bold = made.cells()
    cells: list[list[str | Cell]] = [
        [cell, *(made.cell(name, score) for score in SCORES)] for name, (cell, _) in rows.items()
    ]
    return [Heading("Raw and calibrated"), Table(["", *(label(score, arrow=True) for score in SCORES)], cells, bold)]


# The figure ----------------------------------------------------------------------------------------------------------


@house_style
def reliability_diagram(
    confidence_K: ArrayLike,
    accuracy_K: ArrayLike,
    count_K: ArrayLike,
    *,
    title: str = "",
    ece: str | None = None,
    colour: str = SERIES[0],
) -> Figure:
    """K bins of equal width over 0 .. 1; what an empty bin (count 0) says elsewhere is not looked at.

    Bars are accuracies; a pale piece on top reaches up to the mean confidence where that is higher. The strip below
    shows the number of samples. ece: text after "ECE"; by default that of these bins.
    """
    count_K = np.asarray(count_K, float)
    filled_K = count_K > 0
    confidence_K = np.asarray(confidence_K, float)[filled_K]
    accuracy_K = np.asarray(accuracy_K, float)[filled_K]
    share_K = count_K / count_K.sum()
    centre_K = (np.arange(len(count_K)) + 0.5) / len(count_K)
    width = 0.9 / len(count_K)
    if ece is None:
        ece = f"{np.abs(accuracy_K - confidence_K) @ share_K[filled_K]:.3f}"

    figure, top = one_axes(PANEL, 3.2, bottom=1.05)
    bottom = figure.add_axes((top.get_position().x0, 0.42 / 3.2, top.get_position().width, 0.5 / 3.2), sharex=top)
    top.bar(centre_K[filled_K], accuracy_K, width, color=colour, label="accuracy")
    missing_K = np.maximum(confidence_K - accuracy_K, 0)
    top.bar(centre_K[filled_K], missing_K, width, bottom=accuracy_K, color=colour, alpha=0.25, label="missing")
    top.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    top.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    top.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    top.tick_params(bottom=False, labelbottom=False)
    heading(top, title, f"ECE {ece}")

    bottom.bar(centre_K, count_K, width, color=MUTED, label="samples")
    most = 10.0 ** np.ceil(np.log10(max(count_K.max(), 10)))
    bottom.set(yscale="log", ylim=(0.7, most), xlabel="confidence", ylabel="samples")
    bottom.set_yticks([1, most], ["1", power(most)])
    bottom.minorticks_off()
    bottom.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    for axes in (top, bottom):
        axes.yaxis.set_label_coords(-0.13, 0.5)
    return figure
