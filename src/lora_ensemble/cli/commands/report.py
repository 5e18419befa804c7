"""Make an HTML report of runs, or of files of logits: scores, calibration, uncertainty, cost, members."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tyro.conf import OmitArgPrefixes

from lora_ensemble import registry
from lora_ensemble.cli.arguments import parse
from lora_ensemble.cli.data_names import datasets_named
from lora_ensemble.cli.logit_files import Paths, ScoredFileOptions, check_kinds, divided, read_given
from lora_ensemble.cli.repeats import warn_of_repeats
from lora_ensemble.printable import printable


@dataclass(frozen=True)
class Options:
    runs: Paths
    """Run folders; or files of logits: .safetensors, .npy, .npz, .parquet, .csv, .tsv, .jsonl."""
    ood: str | None = None
    """Out-of-distribution data sets: NAME or NAME=FOLDER, several with commas; of files NAME=FILE."""
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
    shift: str | None = None
    """Show scores after what may be wrong with rows: corruptions (all), or names of `lora-ensemble list shifts`."""
    files: OmitArgPrefixes[ScoredFileOptions] = field(default_factory=ScoredFileOptions)


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "report", __doc__)
    folders, files = divided(options.runs)
    check_kinds(folders, files, options.files, _of_runs_alone(options))
    if files:
        _of_files(files, options)
    else:
        _of_runs(options)
    print(printable(str(options.output)))


def _of_runs_alone(options: Options) -> list[tuple[str, bool]]:
    """Flags that only runs take, and whether they are given."""
    return [
        ("--epochs", options.epochs),
        ("--shift", options.shift is not None),
        ("--split", options.split != "test"),
    ]


def _of_files(files: Sequence[Path], options: Options) -> None:
    from lora_ensemble.report import Results, summarise, write_report
    from lora_ensemble.report.document import check_place

    check_place(options.output)
    results = []
    for given in read_given(files, options.files, options.ood, options.concat):
        print(f"scoring {printable(given.label)}: {given.predictions!r}", file=sys.stderr)
        results.append(
            summarise(given.predictions, given.label, ood=given.ood, examples=12, validation=given.validation)
        )
    about = {"data": ", ".join(path.name for path in files)}
    title = options.title or ", ".join(made.method for made in results)
    write_report(options.output, Results(title, tuple(results), about=about))


def _of_runs(options: Options) -> None:
    ood = datasets_named(options.ood)

    from lora_ensemble.report import Results, write_report
    from lora_ensemble.report.document import check_place
    from lora_ensemble.studies.epochs import followed
    from lora_ensemble.studies.groups import by_experiment, ensembles, result
    from lora_ensemble.studies.shifted import followed_shifts
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
        after = None if options.shift is None else followed_shifts(parts, options.shift, options.split)
        results.append(replace(made, epochs=epochs, shift=after))
    about = {"data": f"{registry.name_of(parts[0].experiment.dataset)}, {options.split} split"}
    title = options.title or ", ".join(dict.fromkeys(made.method for made in results))
    study = None if options.concat else study_of_experiments({name: g[0].experiment for name, g in groups.items()})
    write_report(options.output, Results(title, tuple(results), about=about, study=study))
