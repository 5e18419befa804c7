"""The report as a document: one page of HTML, made from results alone."""

from __future__ import annotations

from pathlib import Path

from lora_ensemble.disk.files import atomic_write_text
from lora_ensemble.report.html import page
from lora_ensemble.report.results import Results
from lora_ensemble.report.sections import sections


def report(results: Results) -> str:
    """The HTML document. The same results give the same text."""
    return page(results.title, results.summary, results.about, sections(results))


def write_report(path: str | Path, results: Results) -> None:
    """Write `report` to a file, atomically. Raises UserError for one that cannot be written."""
    atomic_write_text(path, report(results))
