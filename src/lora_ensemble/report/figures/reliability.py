"""Reliability diagram: accuracy against confidence, with the number of samples in each bin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lora_ensemble.report.style import INK, MUTED, PANEL, SERIES, heading, house_style, one_axes, power

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
