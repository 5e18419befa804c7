"""Make an HTML report of runs: scores, calibration, uncertainty, cost, members."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lora_ensemble import registry
from lora_ensemble.cli.arguments import RunOptions, parse
from lora_ensemble.cli.data_names import datasets_named
from lora_ensemble.cli.repeats import warn_of_repeats
from lora_ensemble.printable import printable


@dataclass(frozen=True)
class Options(RunOptions):
    ood: str | None = None
    """Out-of-distribution data sets: NAME or NAME=FOLDER, several with commas."""
    split: str = "test"
    """The split that is scored."""
    output: Path = Path("report.html")
    """File to write."""
    title: str | None = None
    """Heading. Default: the names of what is compared."""
    concat: bool = False
    """Take all runs as one ensemble, their members side by side."""
    epochs: bool = False
    """Show how scores and uncertainties moved over the epochs. Needs runs with --training.save epoch."""


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "report", __doc__)
    ood = datasets_named(options.ood)

    from lora_ensemble.report import Results, write_report
    from lora_ensemble.report.document import check_place
    from lora_ensemble.studies.epochs import followed
    from lora_ensemble.studies.groups import by_experiment, ensembles, result
    from lora_ensemble.studies.study import study_of_experiments

    check_place(options.output)
    groups = by_experiment(options.runs)
    warn_of_repeats(groups, options.concat)
    results = []
    shown: set[str] = set()
    for label, parts in ensembles(groups, options.concat):
        print(f"scoring {printable(', '.join(str(run.folder) for run in parts))}", file=sys.stderr)
        made = result(parts, label, options.split, ood, examples=12, shown=label not in shown)
        shown.add(label)
        epochs = followed(parts, options.split, ood) if options.epochs else None
        results.append(replace(made, epochs=epochs))
    about = {"data": f"{registry.name_of(parts[0].experiment.dataset)}, {options.split} split"}
    title = options.title or ", ".join(dict.fromkeys(made.method for made in results))
    study = None if options.concat else study_of_experiments({name: g[0].experiment for name, g in groups.items()})
    write_report(options.output, Results(title, tuple(results), about=about, study=study))
    print(options.output)
