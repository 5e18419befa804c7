"""Text that a terminal or a page shows as it is: names from files and folders never act on what displays them."""

from __future__ import annotations

import codecs
import contextlib
import sys
from collections.abc import Collection, Sequence
from html import escape

_TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that change the direction of the text after them."""

_PLAIN = {"↑": "^", "↓": "v", "±": "+/-", "µ": "u", "…": "...", "−": "-", "×": "x", "\u00a0": " ", "⁻": "^-", "→": "->"}
"""What stands for a sign of ours where an encoding lacks it."""

_HANDLER = "lora-ensemble-plain"


def printable(text: str) -> str:
    """With escapes such as \\x1b in place of control characters (line ends among them), marks that turn the direction
    of writing, and lone surrogates."""
    if text.isprintable():
        return text
    return "".join(_escaped(sign) if _acts(sign) else sign for sign in text)


def never_fail_to_print() -> None:
    """Let stdout and stderr write what their encoding lacks in plainer signs: an arrow as ^ or v in cp1252."""
    codecs.register_error(_HANDLER, _plainer)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # not a file, or closed
            stream.reconfigure(errors=_HANDLER)  # type: ignore[union-attr]


def html_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], bold: Collection[tuple[int, int]] = frozenset()
) -> str:
    """A table for a notebook, in its own style; `bold` holds the (row, column) of emphasised cells."""

    def cell(tag: str, text: str, i: int, j: int) -> str:
        side = "left" if j == 0 else "right"
        shown = escape(printable(text))
        shown = f"<b>{shown}</b>" if (i, j) in bold else shown
        return f'<{tag} style="text-align: {side}">{shown}</{tag}>'

    lines = ["".join(cell("th", text, -1, j) for j, text in enumerate(header))]
    lines += ["".join(cell("td", text, i, j) for j, text in enumerate(row)) for i, row in enumerate(rows)]
    head, *body = [f"<tr>{line}</tr>" for line in lines]
    return f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"


def _acts(sign: str) -> bool:
    return ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 or sign in _TURNING or sign in "\u2028\u2029" or _lone(sign)


def _lone(sign: str) -> bool:
    return 0xD800 <= ord(sign) < 0xE000


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: the signs of `_PLAIN`, escapes for others."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(sign) or _escaped(sign) for sign in missing), error.end
