"""Make an HTML report of runs: scores, calibration, uncertainty, cost, members."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lora_ensemble import registry
from lora_ensemble.arguments import RunOptions, parse


@dataclass(frozen=True)
class Options(RunOptions):
    ood: str | None = None
    """Name of an out-of-distribution data set."""
    split: str = "test"
    """The split that is scored."""
    output: Path = Path("report.html")
    """File to write."""
    title: str | None = None
    """Heading. Default: the names of what is compared."""
    concat: bool = False
    """Take all runs as one ensemble, their members side by side."""


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "report", __doc__)
    if options.ood is not None:
        registry.known("datasets", options.ood)

    from lora_ensemble.report import Results, write_report
    from lora_ensemble.runs.groups import by_experiment, ensembles, result

    groups = by_experiment(options.runs)
    results = []
    for label, parts in ensembles(groups, options.concat):
        print(f"scoring {', '.join(str(run.folder) for run in parts)}", file=sys.stderr)
        results.append(result(parts, label, options.split, options.ood, examples=10))
    about = {"data": f"{registry.name_of(parts[0].experiment.dataset)}, {options.split} split"}
    title = options.title or ", ".join(groups)
    write_report(options.output, Results(title, tuple(results), about=about))
    print(options.output)
