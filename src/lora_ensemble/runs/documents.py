"""What is written about runs: results, reports, the record of a cross-validation; whether it is as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lora_ensemble.disk.digests import DIGEST
from lora_ensemble.disk.records import read_object
from lora_ensemble.errors import FileFormatError
from lora_ensemble.runs.records import read_record
from lora_ensemble.runs.wholeness import Part, checked, state

CROSS_VALIDATION = "cross-validation.json"
RESULTS, REPORT = "results.json", "report.html"


def documents_in(folder: Path) -> Iterator[Part]:
    """Of a run folder, or of one with many runs in it."""
    if (folder / CROSS_VALIDATION).is_file():
        yield checked(CROSS_VALIDATION, lambda: _record(folder))
    if (folder / RESULTS).is_file():
        yield checked(RESULTS, lambda: _results(folder / RESULTS))
    if (folder / REPORT).is_file():
        yield checked(REPORT, lambda: _report(folder / REPORT))


def _record(folder: Path) -> Part:
    return Part(CROSS_VALIDATION, state(DIGEST in read_record(folder, CROSS_VALIDATION)))


def _results(path: Path) -> Part:
    from lora_ensemble.report import Results

    found = Results.load(path)
    return Part(path.name, state(DIGEST in read_object(path)), f"{len(found.runs)} results")


def _report(path: Path) -> Part:
    from lora_ensemble.report.document import check_report

    try:
        return Part(path.name, state(check_report(path)))
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}") from None
