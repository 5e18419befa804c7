"""A reliability diagram for each method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lora_ensemble.report import seeds
from lora_ensemble.report.parts import Figures, Section
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


def section(results: Results) -> Section | None:
    colour = colours(list(results.methods))
    made = []
    for i, (method, runs) in enumerate(results.methods.items()):
        bins = [run.curves.reliability for run in runs if run.curves.reliability is not None]
        if bins:
            ece = seeds.score(runs, "ece_15")
            figure = reliability_diagram(*seeds.pooled_bins(bins), title=method, ece=ece, colour=colour[method])
            made.append(inline_svg(figure, f"reliability-{i}", f"Reliability diagram of {method}, ECE {ece}"))
    return Section("Calibration", READING, [Figures(made)]) if made else None


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
