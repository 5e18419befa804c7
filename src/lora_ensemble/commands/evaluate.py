"""Score runs: one run with intervals, several as a table with mean and standard deviation over seeds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lora_ensemble import registry
from lora_ensemble.arguments import RunOptions, parse

if TYPE_CHECKING:
    from lora_ensemble.analysis import Scores


@dataclass(frozen=True)
class Options(RunOptions):
    ood: str | None = None
    """Name of an out-of-distribution data set; adds how well uncertainty tells it apart."""
    split: str = "test"
    """The split that is scored."""
    scores: tuple[str, ...] = ()
    """Columns of the table. Default: the most common."""
    format: Literal["markdown", "json", "latex"] = "markdown"
    """How to print."""
    concat: bool = False
    """Take all runs as one ensemble, their members side by side."""


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "evaluate", __doc__)
    if options.ood is not None:
        registry.known("datasets", options.ood)

    from lora_ensemble.analysis import evaluate
    from lora_ensemble.runs.groups import by_experiment, ensembles, joined

    scored: dict[str, list[Scores]] = {}
    chosen = ensembles(by_experiment(options.runs), options.concat)
    for label, runs in chosen:
        print(f"scoring {', '.join(str(run.folder) for run in runs)}", file=sys.stderr)
        outside = None if options.ood is None else joined(runs, "test", options.ood)
        scores = evaluate(joined(runs, options.split), outside, intervals=len(chosen) == 1)
        scored.setdefault(label, []).append(scores)
    print(_rendered(scored, options).rstrip())


def _rendered(scored: dict[str, list[Scores]], options: Options) -> str:
    from lora_ensemble.analysis import table

    (first, *more), *others = scored.values()
    shown = table(scored, options.scores or None) if more or others or options.scores else first
    if options.format == "json":
        return shown.to_json()
    return shown.to_markdown() if options.format == "markdown" else shown.to_latex()
