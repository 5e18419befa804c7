"""Score runs or files of logits: one with intervals, several as a table with mean and deviation over seeds."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import OmitArgPrefixes

from lora_ensemble.cli.arguments import parse
from lora_ensemble.cli.data_names import datasets_named
from lora_ensemble.cli.grouping import groups_shown
from lora_ensemble.cli.lists import Words, items
from lora_ensemble.cli.logit_files import Paths, ScoredFileOptions, check_kinds, divided, read_given
from lora_ensemble.cli.pairing import pairs_shown
from lora_ensemble.cli.repeats import warn_of_repeats
from lora_ensemble.cli.scored import check_one_seed, ensembles_given
from lora_ensemble.errors import UserError
from lora_ensemble.printable import printable

if TYPE_CHECKING:
    from lora_ensemble.analysis import EpochsCurve, Scores, Table
    from lora_ensemble.contracts import Dataset


@dataclass(frozen=True)
class Options:
    runs: Paths
    """Run folders; or files of logits: .safetensors, .npy, .npz, .parquet, .csv, .tsv, .jsonl."""
    ood: str | None = None
    """Out-of-distribution data sets: NAME or NAME=FOLDER, several with commas; of files NAME=FILE. Adds how well
    uncertainty tells them apart."""
    split: str = "test"
    """The split that is scored."""
    dataset: str | None = None
    """Another labelled data set to score, NAME or NAME=FOLDER, whose classes are the run's, or the first of them."""
    scores: Words = ()
    """Scores to show, with commas or spaces, or all. Default: the main ones; --format json has all of one run."""
    format: Literal["markdown", "json", "latex"] = "markdown"
    """How to print."""
    pooling: Literal["mean-of-probabilities", "softmax-of-mean-logits"] = "mean-of-probabilities"
    """How members become one distribution."""
    concat: bool = False
    """Take all runs as one ensemble, their members side by side."""
    per_fold: bool = False
    """Of cross-validations mean and standard deviation over folds, not the score of their pooled rows."""
    raw: bool = False
    """Without the scores after calibration, which stand beside the raw ones where a run has a calibration."""
    epochs: bool = False
    """Scores after each epoch, a row each. Needs runs with --training.save epoch."""
    shift: str | None = None
    """Scores against severity after what may be wrong with rows: corruptions (all), or names of `lora-ensemble list
    shifts` with commas; :severity=1,3,5 for some of the five."""
    paired: bool = False
    """Which of the runs or files are better than which, on the same samples: differences of --scores (default: the main
    ones), calibrated where there is a calibration, with intervals and p-values corrected for all comparisons."""
    by: str | None = None
    """Scores of each group of rows, and the worst group: COLUMN of the data set's table or metadata, label for the
    classes, or COLUMN=FILE, a table with the columns id and COLUMN."""
    files: OmitArgPrefixes[ScoredFileOptions] = field(default_factory=ScoredFileOptions)


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "evaluate", __doc__)
    folders, files = divided(options.runs)
    of_runs = [
        (f"--{name.replace('_', '-')}", bool(getattr(options, name)))
        for name in ("dataset", "per_fold", "epochs", "shift")
    ]
    check_kinds(folders, files, options.files, [*of_runs, ("--split", options.split != "test")])
    if options.paired or options.by is not None:
        print(_on_the_same_rows(folders, files, options).rstrip())
        return
    if files:
        print(_rendered(_of_files(files, options), options).rstrip())
        return
    ood = datasets_named(options.ood)
    if options.per_fold and (options.concat or options.epochs):
        raise UserError(f"--per-fold does not go with {'--concat' if options.concat else '--epochs'}")
    other = _other(options.dataset)
    if options.shift is not None:
        print(_after_shifts(options, other).rstrip())
        return
    if options.epochs:
        print(_by_epoch(options, ood, other).rstrip())
        return
    print(_rendered(_of_runs(options, ood, other), options).rstrip())


def _on_the_same_rows(folders: Sequence[Path], files: Sequence[Path], options: Options) -> str:
    """What --paired and --by show."""
    flag, why = ("--paired", "it compares on the same samples") if options.paired else ("--by", "it divides one split")
    names = ("ood", "shift", "epochs", "per_fold", *(("by",) if options.paired else ()))
    if taken := [f"--{name.replace('_', '-')}" for name in names if getattr(options, name)]:
        raise UserError(f"{flag} does not go with {taken[0]}: {why}")
    if options.paired and folders:
        check_one_seed(folders)
    other, scores = _other(options.dataset), items(options.scores)
    given = ensembles_given(folders, files, options.files, split=options.split, dataset=other, concat=options.concat)
    if options.by is None:
        return pairs_shown(given, scores, options.format, raw=options.raw)
    return groups_shown(
        given,
        options.by,
        scores,
        options.format,
        split=options.split,
        dataset=other,
        raw=options.raw,
        pooling=options.pooling,
    )


def _of_files(files: Sequence[Path], options: Options) -> dict[str, list[Scores]]:
    from lora_ensemble.analysis import evaluate_both

    chosen = read_given(files, options.files, options.ood, options.concat)
    scored = {}
    for given in chosen:
        print(f"scoring {printable(given.label)}: {given.predictions!r}", file=sys.stderr)
        scores = evaluate_both(
            given.predictions,
            next(iter(given.ood.values())) if len(given.ood) == 1 else given.ood,
            calibration=None if options.raw else given.calibration,
            intervals=len(chosen) == 1,
            pooling=options.pooling,
        )
        scored[given.label] = [scores]
    return scored


def _of_runs(options: Options, ood: Mapping[str, Dataset], other: Dataset | None) -> dict[str, list[Scores]]:
    from lora_ensemble.analysis import evaluate_both
    from lora_ensemble.studies.folds.pooled import fold_by_fold
    from lora_ensemble.studies.groups import by_experiment, calibration_of, ensembles, joined
    from lora_ensemble.studies.references import reference_of

    scored: dict[str, list[Scores]] = {}
    groups = by_experiment(options.runs)
    chosen = ensembles(groups, options.concat)
    warn_of_repeats(groups, options.concat)
    if options.per_fold:
        chosen = fold_by_fold(chosen)
    for label, runs in chosen:
        print(f"scoring {printable(', '.join(str(run.folder) for run in runs))}", file=sys.stderr)
        sets = {name: joined(runs, "test", dataset) for name, dataset in ood.items()}
        outside = next(iter(sets.values())) if len(sets) == 1 else sets
        inside = joined(runs, options.split, other)
        if other is not None and inside.labels_B is None:
            raise UserError(f"--dataset {options.dataset}: has no labels that are classes of {runs[0].folder}")
        scores = evaluate_both(
            inside,
            outside,
            calibration=None if options.raw else calibration_of(runs, options.split),
            intervals=len(chosen) == 1,
            pooling=options.pooling,
            reference=reference_of(runs, [inside, *sets.values()]) if sets else None,
        )
        scored.setdefault(label, []).append(scores)
    return scored


def _other(words: str | None) -> Dataset | None:
    found = list(datasets_named(words).values())
    if len(found) > 1:
        raise UserError(f"--dataset {words}: expected one data set, {len(found)} were given")
    return found[0] if found else None


def _after_shifts(options: Options, other: Dataset | None) -> str:
    from lora_ensemble.cli.shifting import shifts_shown

    assert options.shift is not None
    taken = {"--ood": options.ood, "--epochs": options.epochs, "--per-fold": options.per_fold}
    if given := [flag for flag, value in taken.items() if value]:
        raise UserError(f"--shift does not go with {given[0]}")
    return shifts_shown(
        options.runs,
        options.shift,
        options.split,
        other,
        options.format,
        concat=options.concat,
        raw=options.raw,
        pooling=options.pooling,
    )


def _by_epoch(options: Options, ood: Mapping[str, Dataset], other: Dataset | None) -> str:
    """A table for each experiment, its seeds averaged."""
    from lora_ensemble.analysis import epochs_json, epochs_table
    from lora_ensemble.studies.epochs import followed
    from lora_ensemble.studies.groups import by_experiment, ensembles

    curves: dict[str, list[EpochsCurve]] = {}
    groups = by_experiment(options.runs)
    warn_of_repeats(groups, options.concat)
    for label, runs in ensembles(groups, options.concat):
        print(f"scoring {printable(', '.join(str(run.folder) for run in runs))}", file=sys.stderr)
        curves.setdefault(label, []).append(followed(runs, options.split, ood, options.pooling, other))
    if options.format == "json":
        return epochs_json(curves)
    tables = {label: epochs_table(found, options.format) for label, found in curves.items()}
    if len(tables) == 1 or options.format == "latex":
        return "\n".join(tables.values())
    return "\n".join(f"{printable(label)}\n\n{shown}" for label, shown in tables.items())


def _rendered(scored: dict[str, list[Scores]], options: Options) -> str:
    from lora_ensemble.analysis import table
    from lora_ensemble.analysis.naming import ALL, summary

    (first, *more), *others = scored.values()
    rows = {label: [scores.with_calibrated() for scores in seeds] for label, seeds in scored.items()}
    asked = items(options.scores)
    every = asked == [ALL]
    if more or others or (asked and not every):
        names = list(dict.fromkeys(name for runs in rows.values() for scores in runs for name in scores))
        shown: Scores | Table = table(rows, names if every else asked or None)
    else:
        shown = first if every or options.format == "json" else first.only(summary(first))
        if len(shown) < len(first):
            print(f"{len(shown)} of {len(first)} scores; --scores all shows the others", file=sys.stderr)
    if options.format == "json":
        return shown.to_json()
    return shown.to_markdown() if options.format == "markdown" else shown.to_latex()
