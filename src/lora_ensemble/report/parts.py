"""What a section of a report is made of: plain data, of which `parts.html.j2` makes HTML and escapes every text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from markupsafe import Markup

from lora_ensemble.report.style import SERIES


@dataclass(frozen=True)
class Text:
    """A paragraph on how to read what follows."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A title within a section."""

    text: str


@dataclass(frozen=True)
class Code:
    """Text as it is typed."""

    text: str


@dataclass(frozen=True)
class Figures:
    """Figures beside each other, as many in a row as fit: `svg.inline_svg` of each."""

    svgs: Sequence[Markup]


@dataclass(frozen=True)
class Legend:
    """The colour of each name."""

    colour: Mapping[str, str]

    @property
    def names(self) -> list[Cell]:
        """As chips."""
        return [Cell(name, colour=colour) for name, colour in self.colour.items()]


@dataclass(frozen=True)
class Cell:
    """One of a table: a text, what stands below it in small print, and the colour of a chip before it."""

    text: str
    small: str = ""
    colour: str | None = None

    @property
    def series(self) -> int | None:
        """Number of the colour among `SERIES`."""
        return None if self.colour is None else SERIES.index(self.colour)


@dataclass(frozen=True)
class Table:
    """Rows under a head."""

    header: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    bold: Collection[tuple[int, int]] = frozenset()
    """(row, column) of emphasised cells."""
    texts: int = 1
    """The first columns are texts; the others are numbers, which stand below each other digit by digit."""

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows, every cell a `Cell`."""
        return [[Cell(cell) if isinstance(cell, str) else cell for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Folded:
    """Parts that open when their title is clicked."""

    title: str
    parts: Sequence[Part]
    opened: bool = False
    """Whether they are seen before that."""


@dataclass(frozen=True)
class Mark:
    """A line across a figure that a slider moves."""

    width: float
    """Of the figure, in points."""
    left: Sequence[float]
    """Where it stands at each value of the slider, in percent of the figure's width."""
    top: float
    """Of the axes, in percent of the figure's height."""
    height: float


@dataclass(frozen=True)
class Slider:
    """A table for each value of a slider, of which one is seen."""

    label: str
    """What the slider changes."""
    values: Sequence[str]
    """As they are written."""
    tables: Sequence[Table]
    """For each value, all with the same head."""
    start: int = 0
    """The value that is seen first, and on paper."""
    figure: Markup | None = None
    mark: Mark | None = None


@dataclass(frozen=True)
class Card:
    """A sample, and what is said of it."""

    title: str
    lines: Sequence[tuple[str, str]]
    """Names and values."""
    text: str = ""
    image: str = ""
    """A data URI."""
    audio: str = ""
    """A data URI."""


@dataclass(frozen=True)
class Cards:
    """Samples beside each other."""

    cards: Sequence[Card]


Part: TypeAlias = Text | Heading | Code | Figures | Legend | Table | Folded | Slider | Cards


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading of its own."""

    title: str
    reading: str
    """How to read what follows."""
    parts: Sequence[Part] = field(default_factory=tuple)


def kind(part: Part) -> str:
    """The macro of `parts.html.j2` that shows a part."""
    return type(part).__name__.lower()
