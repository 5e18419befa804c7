"""The review queue: single predictions to look at first, each with what its sample looks, sounds or reads like."""

from __future__ import annotations

from collections.abc import Sequence

from lora_ensemble.report.examples import Example
from lora_ensemble.report.parts import Card, Cards, Folded, Heading, Part, Section, Table
from lora_ensemble.report.results import Results
from lora_ensemble.report.run_result import RunResult

ORDER = 65

READING = (
    "Samples to look at by hand. Predictions are as they are, without a calibration; uncertainties are in nats; "
    "total = aleatoric + epistemic, and the epistemic part is "
    "high where members contradict each other. A wrong prediction of high confidence points to a wrong label, or to a "
    "sample of a kind that was rare in training."
)
TITLES = {
    "uncertain": "Most uncertain",
    "disputed": "Most disputed among the members",
    "wrong": "Wrong with the highest confidence",
}


def section(results: Results) -> Section | None:
    """Of the first run of each method; of several methods, each one opens on a click."""
    parts: list[Part] = []
    for method, (run, *_) in results.methods.items():
        found = {title: getattr(run, name) for name, title in TITLES.items()}
        queues = [part for title, own in found.items() if own for part in (Heading(title), _queue(own, run))]
        parts += [Folded(method, queues, opened=not parts)] if queues and len(results.methods) > 1 else queues
    first = " Of each method, its first run." * results.repeated
    return Section("Review queue", READING + first, parts) if parts else None


def _queue(examples: Sequence[Example], run: RunResult) -> Cards | Table:
    if any(example.preview for example in examples):
        return Cards([_card(example, run) for example in examples])
    header = ["sample", "label", "predicted", "confidence", "members that agree", "total", "epistemic"]
    rows = [[e.id, "-" if e.label is None else e.label, e.predicted, *_numbers(e, run)] for e in examples]
    return Table(header, rows, texts=3)


def _card(example: Example, run: RunResult) -> Card:
    names = ("confidence", "agreeing", "total", "epistemic")
    known = [] if example.label is None else [("label", example.label)]
    preview = example.preview
    return Card(
        title=example.id,
        lines=[("predicted", example.predicted), *known, *zip(names, _numbers(example, run), strict=True)],
        text=(preview and preview.text) or "",
        image=(preview and preview.image) or "",
        audio=(preview and preview.audio) or "",
    )


def _numbers(e: Example, run: RunResult) -> list[str]:
    agreeing = f"{e.agreeing} of {run.members}"
    return [f"{100 * e.confidence:.1f} %", agreeing, f"{e.total:.3f}", f"{e.epistemic:.3f}"]
