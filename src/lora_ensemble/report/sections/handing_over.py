"""In a minute: which rows to trust, and which to hand over to a person."""

from __future__ import annotations

from lora_ensemble.report.parts import Cell, Section, Table
from lora_ensemble.report.promises import Answers, Promises
from lora_ensemble.report.results import Results
from lora_ensemble.report.run_result import RunResult
from lora_ensemble.report.style import colours

ORDER = 5
RISKS = (0.01, 0.02, 0.05, 0.1)
"""Promised shares of wrong answers that are of use to most; the section on promises has more."""

READING = (
    "Answer a row whose total uncertainty is at most the threshold, and hand the others to a person: with "
    "{confidence:.0%} confidence, at most the promised share of the answers is wrong, on new rows of the same kind as "
    "the {rows:,} of validation. Beside it what came out on the samples of this report. Thresholds are in nats, of "
    "predictions as they are, without a calibration."
)


def section(results: Results) -> Section | None:
    """Of the first run of each method."""
    first = {method: runs[0] for method, runs in results.methods.items() if runs[0].promises is not None}
    colour, rows = colours(list(results.methods)), []
    for method, run in first.items():
        rows += [[Cell(method, colour=colour[method]), *cells] for cells in _promised(run)]
    promises = next((run.promises for run in first.values()), None)
    if promises is None or not rows:
        return None
    header = ["method", "wrong answers, at most", "answer up to", "rows answered", "handed over", "wrong answers here"]
    reading = READING.format(confidence=promises.confidence, rows=promises.rows)
    return Section(
        "Which rows to trust", reading + " Of each method, its first run." * results.repeated, [Table(header, rows)]
    )


def _promised(run: RunResult) -> list[list[str | Cell]]:
    """The risks that can be promised, up to the first at which every row is answered."""
    assert run.promises is not None
    made: list[list[str | Cell]] = []
    for answers in _of_use(run.promises):
        if answers.kept is None or answers.threshold is None:
            continue
        everything = answers.kept >= 1
        made.append(
            [
                f"{100 * answers.target:g} %",
                "any" if everything else f"{answers.threshold:.3f}",
                f"{100 * answers.kept:.1f} %",
                f"{100 * (1 - answers.kept):.1f} %",
                "-" if answers.risk is None else f"{100 * answers.risk:.2f} %",
            ]
        )
        if everything:
            break
    return made


def _of_use(promises: Promises) -> list[Answers]:
    usual = [answers for answers in promises.answers if answers.target in RISKS]
    if any(answers.kept is not None for answers in usual):
        return usual
    return [answers for answers in promises.answers if answers.kept is not None][:1]
