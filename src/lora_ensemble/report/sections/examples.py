"""Single predictions: the most uncertain, and the wrong ones of highest confidence."""

from __future__ import annotations

from collections.abc import Sequence

from lora_ensemble.report.examples import Example
from lora_ensemble.report.parts import Folded, Heading, Part, Section, Table
from lora_ensemble.report.results import Results, RunResult

ORDER = 100

READING = (
    "Samples to look at by hand. Uncertainties are in nats; total = aleatoric + epistemic, and the epistemic part is "
    "high where members contradict each other. A wrong prediction of high confidence points to a wrong label, or to a "
    "sample of a kind that was rare in training."
)
_TITLES = {"wrong": "Wrong with the highest confidence", "uncertain": "Most uncertain"}


def section(results: Results) -> Section | None:
    """Of the first run of each method; of several methods, each one opens on a click."""
    parts: list[Part] = []
    for method, (run, *_) in results.methods.items():
        found = {title: getattr(run, name) for name, title in _TITLES.items()}
        tables = [part for title, own in found.items() if own for part in (Heading(title), _table(own, run))]
        parts += [Folded(method, tables)] if tables and len(results.methods) > 1 else tables
    first = " Of each method, its first run." * results.repeated
    return Section("Examples", READING + first, parts) if parts else None


def _table(examples: Sequence[Example], run: RunResult) -> Table:
    header = ["sample", "label", "predicted", "confidence", "members that agree", "total", "epistemic"]
    rows = [
        [
            e.id,
            "-" if e.label is None else e.label,
            e.predicted,
            f"{100 * e.confidence:.1f} %",
            f"{e.agreeing} of {run.members}",
            f"{e.total:.3f}",
            f"{e.epistemic:.3f}",
        ]
        for e in examples
    ]
    return Table(header, rows, texts=3)
