"""How every figure looks: colours, type, lines. Nothing of matplotlib's global state is changed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

INK = "#1f2328"
"""Text and the lines that carry meaning."""
MUTED = "#656d76"
"""Text of the second rank, reference lines."""
RULE = "#d5dae0"
"""Axes and grid."""
PAPER = "#fefefe"
"""Behind a legend; the figure itself is transparent."""

PANEL = 3.0
"""Width in inches of a figure that stands beside others."""

SERIES = ("#0072b2", "#d55e00", "#009e73", "#c6619a", "#e69f00", "#56a8dc", "#7a5ea8", "#8c8a3c")
"""Colours of methods, in their order: after Okabe and Ito, told apart with any of the common colour deficiencies."""

DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
"""Kinds of lines, for what is told apart by other means than colour."""

SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "text.color": INK,
    "text.parse_math": False,
    "text.usetex": False,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.0,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.0,
    "legend.borderaxespad": 0.2,
    "legend.borderpad": 0.2,
    "legend.edgecolor": "none",
    "legend.facecolor": PAPER,
    "legend.fancybox": False,
    "legend.framealpha": 1.0,
    "legend.handlelength": 1.3,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "savefig.facecolor": "none",
    "xtick.color": RULE,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 7.5,
    "ytick.color": RULE,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 7.5,
}


def house_style(draw: Callable[P, T]) -> Callable[P, T]:
    """Let a function that makes a figure use `SETTINGS`, whatever the user's own settings are."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> T:
        import matplotlib

        with matplotlib.rc_context(SETTINGS):
            return draw(*args, **kwargs)

    return styled


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name. More names than `SERIES` has colours begin again with the first."""
    return {name: SERIES[i % len(SERIES)] for i, name in enumerate(names)}


def shortened(text: str, most: int) -> str:
    """At most that many characters, of both ends where something has to go: names of runs often differ at the end."""
    if len(text) <= most:
        return text
    return text[: most // 2] + "…" + text[len(text) - (most - 1 - most // 2) :]


def power(x: float) -> str:
    """A power of ten as a tick's label: 0.01, 0.1, 1, 10 as they are, others as 10 with an exponent."""
    exponent = f"{math.log10(x):.0f}"
    if len(exponent.lstrip("-")) == 1 and -2 <= int(exponent) <= 1:
        return f"{x:g}"
    return "10" + exponent.translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def one_axes(
    width: float, height: float, *, left: float = 0.5, right: float = 0.1, top: float = 0.25, bottom: float = 0.42
) -> tuple[Figure, Axes]:
    """A figure of that size with one pair of axes within these margins; inches. Figures of one size then align."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    size = (1 - (left + right) / width, 1 - (top + bottom) / height)
    return figure, figure.add_axes((left / width, bottom / height, *size))


def heading(axes: Axes, title: str, remark: str = "", pad: float = 6.0) -> None:
    """A bold title at the left, shortened to the room there is, and a remark in the same line at the right, `pad`
    points above the axes."""
    end = axes.bbox.x1 if remark else axes.figure.bbox.x1
    room = 72 * (end - axes.bbox.x0) / axes.figure.dpi  # 72 points are an inch
    room -= _points(remark, "normal") + 8 if remark else 0
    most = len(title)
    while most > 3 and _points(shortened(title, most), "bold") > room:
        most -= 1
    axes.set_title(shortened(title, most), loc="left", fontweight="bold", color=INK, pad=pad)
    axes.set_title(remark, loc="right", color=MUTED, pad=pad)


def _points(text: str, weight: str) -> float:
    """Width of a line of a heading."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family=SETTINGS["font.family"], weight=weight, size=SETTINGS["axes.titlesize"])
    return TextPath((0, 0), text, prop=font).get_extents().width if text else 0.0
