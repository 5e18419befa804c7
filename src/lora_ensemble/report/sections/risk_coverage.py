"""Risk-coverage curves of all methods in one figure."""

from __future__ import annotations

from lora_ensemble.report import seeds
from lora_ensemble.report.curves import COVERAGE
from lora_ensemble.report.figures import risk_coverage_curves
from lora_ensemble.report.html import Section, panels
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import colours
from lora_ensemble.report.svg import inline_svg

READING = (
    "What if the least confident predictions are handed to somebody else? From right to left fewer predictions are "
    "kept, and the curve shows how many of those are wrong. A useful confidence makes the curve fall to the left; "
    "lower is better. AURC is the area under the curve."
)
OVER_RUNS = " Lines are means over runs, with a band from the lowest to the highest."


def section(results: Results) -> Section | None:
    risks = {
        method: [run.curves.risk for run in runs if run.curves.risk is not None]
        for method, runs in results.methods.items()
    }
    risks = {method: values for method, values in risks.items() if values}
    if not risks:
        return None
    aurc = {method: seeds.score(results.methods[method], "aurc", digits=4) for method in risks}
    figure = risk_coverage_curves(
        COVERAGE,
        risks,
        labels={method: f"{method}, AURC {value}" for method, value in aurc.items()},
        colour=colours(list(results.methods)),
    )
    spoken = ", ".join(f"{method} AURC {value}" for method, value in aurc.items())
    svg = inline_svg(figure, "risk", f"Risk-coverage curves: {spoken}")
    return Section("Selective prediction", READING + OVER_RUNS * results.repeated, panels([svg]))
