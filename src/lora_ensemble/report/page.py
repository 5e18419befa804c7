"""The report as a page of HTML that needs nothing but itself: no request, light and dark, paper and telephone."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from lora_ensemble.disk.digests import digest_of_bytes
from lora_ensemble.printable import printable
from lora_ensemble.report.parts import Section, kind
from lora_ensemble.report.results import Results
from lora_ensemble.report.sections import sections

if TYPE_CHECKING:
    from jinja2 import Environment

GENERATOR = "lora-ensemble report"
"""What a page of ours says of itself."""


def report(results: Results) -> str:
    """The HTML document, with its digest in the last line. The same results give the same text."""
    page = _page(results)
    return f"{page}<!-- {digest_of_bytes(page.encode())} -->\n"


def _page(results: Results) -> str:
    script = _own("page.js")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            generator=GENERATOR,
            title=results.title,
            lead=results.summary,
            facts=results.about,
            sections=sections(results),
            style=Markup(_own("page.css")),
            script=Markup(script),
            digest=_digest(script),
        )
    )


def rendered(section: Section) -> str:
    """The HTML of a section's parts alone."""
    macros: Any = _environment().get_template("parts.html.j2").module
    return str(macros.shown(section.parts))


@cache
def _environment() -> Environment:
    """Every text is escaped, and shown as it is: only `Markup` passes unchanged."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("lora_ensemble.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    made.globals["kind"] = kind
    return made


def _own(name: str) -> str:
    return files("lora_ensemble.report").joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """What the page's content security policy lets run: this script, and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
