"""A reliability diagram for each method."""

from __future__ import annotations

from lora_ensemble.report import seeds
from lora_ensemble.report.figures import reliability_diagram
from lora_ensemble.report.html import Section, panels
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import colours
from lora_ensemble.report.svg import inline_svg

READING = (
    "Is a prediction of 80 % confidence right in 80 % of the cases? A solid bar is the accuracy of the predictions of "
    "about that confidence, and the dashed line is where it should end. A bar that stops short of it is overconfidence "
    "(the pale piece is what is missing), one that passes it is too much caution. The strip below counts the "
    "predictions behind each bar. ECE is the gap of an average prediction, in 15 bins; lower is better."
)


def section(results: Results) -> Section | None:
    colour = colours(list(results.methods))
    made = []
    for i, (method, runs) in enumerate(results.methods.items()):
        bins = [run.curves.reliability for run in runs if run.curves.reliability is not None]
        if bins:
            ece = seeds.score(runs, "ece_15")
            figure = reliability_diagram(*seeds.pooled_bins(bins), title=method, ece=ece, colour=colour[method])
            made.append(inline_svg(figure, f"reliability-{i}", f"Reliability diagram of {method}, ECE {ece}"))
    return Section("Calibration", READING, panels(made)) if made else None
