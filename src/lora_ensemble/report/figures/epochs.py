"""Curves over the epochs of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lora_ensemble.report.style import DASHES, INK, PANEL, colours, heading, house_style, one_axes, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
