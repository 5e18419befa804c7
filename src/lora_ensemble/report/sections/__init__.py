"""The sections of a report, one file each: `section(results)` is a `html.Section`, or None with nothing to show."""

from __future__ import annotations

from lora_ensemble.report.html import Section
from lora_ensemble.report.results import Results
from lora_ensemble.report.sections import (
    cost,
    detection,
    epochs,
    examples,
    members,
    reliability,
    risk_coverage,
    scores,
    study,
    uncertainty,
)

ORDER = (scores, study, reliability, uncertainty, detection, risk_coverage, epochs, cost, members, examples)


def sections(results: Results) -> list[Section]:
    """All sections that these results have something for."""
    made = [part.section(results) for part in ORDER]
    return [section for section in made if section is not None]
