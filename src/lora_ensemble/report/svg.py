"""A figure as inline SVG: small, with the page's own type and colours, so that it follows a light or dark theme."""

from __future__ import annotations

import html
import io
import re
import warnings
from typing import TYPE_CHECKING

from markupsafe import Markup

from lora_ensemble.printable import printable
from lora_ensemble.report.style import INK, MUTED, PAPER, RULE, SERIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper"} | {
    c: f"--series-{i}" for i, c in enumerate(SERIES)
}
"""CSS variables that stand in for the colours of `style`; the page defines them."""

_DIGITS = re.compile(r"(\d+\.\d)\d+")


def inline_svg(figure: Figure, key: str, description: str) -> Markup:
    """The figure as one `<svg>` element, the same text every time.

    key: a name that no other figure of the page has; ids within the SVG begin with it. description: read aloud to
    those who cannot see the figure. Text stays text, in the page's font.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": key}), warnings.catch_warnings():
        # Text is written as text: which glyphs matplotlib's own font lacks does not matter.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    view = re.search(r'viewBox="([^"]*)"', text)
    assert view is not None
    body = _slim(text[text.index(">") + 1 : text.rindex("</svg>")])
    width = float(view[1].split()[2])
    return Markup(
        f'<svg viewBox="{view[1]}" style="--width: {width:.0f}px" role="img" '
        f'aria-label="{html.escape(printable(description))}">{printable(_own_ids(_themed(body), key))}</svg>'
    )


def _slim(body: str) -> str:
    """Without metadata, comments, style sheets (they would apply to the whole page), turns by 0 degrees, spaces between
    elements, and digits that nobody sees."""
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", body)
    body = re.sub(r'[ \n]+"', '"', body)
    body = re.sub(r' (?:d|x|y|points|transform)="[^"<]*"', lambda m: _DIGITS.sub(r"\1", m[0]), body)
    body = re.sub(r">\s+<", "><", body).replace("<defs></defs>", "").strip()
    return body.replace("\n", " ")


def _themed(body: str) -> str:
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    return re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", body)


def _own_ids(body: str, key: str) -> str:
    """Ids that something refers to begin with `key`; the others go."""
    used = {name: f"{key}-{i}" for i, name in enumerate(dict.fromkeys(re.findall(r'(?:url\(|href=")#([^)"]+)', body)))}
    body = re.sub(r' id="([^"]*)"', lambda m: f' id="{used[m[1]]}"' if m[1] in used else "", body)
    return re.sub(r'(url\(|href=")#([^)"]+)', lambda m: f"{m[1]}#{used[m[2]]}", body)
