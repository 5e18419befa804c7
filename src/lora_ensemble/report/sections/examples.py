"""Single predictions: the most uncertain, and the wrong ones of highest confidence."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from lora_ensemble.report.examples import Example
from lora_ensemble.report.html import Section, folded, table
from lora_ensemble.report.results import Results, RunResult

READING = (
    "Samples to look at by hand. Uncertainties are in nats; total = aleatoric + epistemic, and the epistemic part is "
    "high where members contradict each other. A wrong prediction of high confidence points to a wrong label, or to a "
    "sample of a kind that was rare in training."
)
_TITLES = {"wrong": "Wrong with the highest confidence", "uncertain": "Most uncertain"}


def section(results: Results) -> Section | None:
    """Of the first run of each method; of several methods, each one opens on a click."""
    content = ""
    for method, (run, *_) in results.methods.items():
        tables = "".join(
            f"<h3>{title}</h3>{_table(found, run)}" for name, title in _TITLES.items() if (found := getattr(run, name))
        )
        content += folded(method, tables) if tables and len(results.methods) > 1 else tables
    first = " Of each method, its first run." * results.repeated
    return Section("Examples", READING + first, content) if content else None


def _table(examples: Sequence[Example], run: RunResult) -> str:
    header = ["sample", "label", "predicted", "confidence", "members that agree", "total", "epistemic"]
    rows = [
        [
            escape(e.id),
            "-" if e.label is None else escape(e.label),
            escape(e.predicted),
            f"{100 * e.confidence:.1f} %",
            f"{e.agreeing} of {run.members}",
            f"{e.total:.3f}",
            f"{e.epistemic:.3f}",
        ]
        for e in examples
    ]
    return table(header, rows, texts=3)
