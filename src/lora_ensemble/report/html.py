"""Pieces of an HTML page that needs nothing but itself: no script, no request, light and dark."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from lora_ensemble.report.style import SERIES


@dataclass(frozen=True)
class Section:
    """A part of a page."""

    title: str
    """Plain text."""
    reading: str
    """Plain text: how to read what follows."""
    content: str
    """HTML, from the functions below."""


def page(title: str, lead: str, facts: Mapping[str, object], sections: Iterable[Section]) -> str:
    """A whole HTML document. lead: a sentence or two under the title. facts: a line of names and values."""
    style = files("lora_ensemble.report").joinpath("page.css").read_text(encoding="utf-8")
    terms = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(str(v))}</dd></div>" for k, v in facts.items())
    parts = [f"<section><h2>{escape(s.title)}</h2>{reading(s.reading)}{s.content}</section>" for s in sections]
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title><style>{style}</style></head><body>",
            f"<header><h1>{escape(title)}</h1>{f'<p>{escape(lead)}</p>' if lead else ''}",
            f"{f'<dl>{terms}</dl>' if terms else ''}</header><main>",
            *parts,
            "</main></body></html>\n",
        ]
    )


def reading(text: str) -> str:
    """A paragraph on how to read what follows; nothing for no text."""
    return f"<p class=reading>{escape(text)}</p>" if text else ""


def panels(svgs: Iterable[str]) -> str:
    """Figures beside each other, as many in a row as fit."""
    return f"<div class=panels>{''.join(f'<figure>{svg}</figure>' for svg in svgs)}</div>"


def folded(title: str, content: str) -> str:
    """Content that opens when its title is clicked."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def legend(colour: Mapping[str, str]) -> str:
    """The colour of each name."""
    return f"<p class=legend>{' '.join(chip(name, colour[name]) for name in colour)}</p>"


def chip(name: str, colour: str) -> str:
    """A name, its colour before it."""
    return f'<span class="chip s{SERIES.index(colour)}">{escape(name)}</span>'


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    bold: Collection[tuple[int, int]] = frozenset(),
    texts: int = 1,
) -> str:
    """header: plain text. rows: HTML. bold: (row, column) of emphasised cells. The first `texts` columns are texts, the
    others numbers, which stand below each other digit by digit."""

    def cell(tag: str, content: str, i: int, j: int) -> str:
        classes = " ".join(["text"] * (j < texts) + ["best"] * ((i, j) in bold))
        return f'<{tag} class="{classes}">{content}</{tag}>' if classes else f"<{tag}>{content}</{tag}>"

    head = "".join(cell("th", escape(name), -1, j) for j, name in enumerate(header))
    body = "".join(
        f"<tr>{''.join(cell('td', text, i, j) for j, text in enumerate(row))}</tr>" for i, row in enumerate(rows)
    )
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
