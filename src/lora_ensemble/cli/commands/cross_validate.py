"""Train a recipe on every fold of its data set, and score the folds; the same command again resumes it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lora_ensemble.cli import recipe_words
from lora_ensemble.cli.arguments import PROGRAM
from lora_ensemble.cli.launching import ABOUT, launcher_of
from lora_ensemble.cli.lists import Words, whole_numbers
from lora_ensemble.cli.member_range import folder_suffix
from lora_ensemble.errors import ConfigurationError, UserError
from lora_ensemble.printable import printable
from lora_ensemble.training.options import Training

if TYPE_CHECKING:
    from lora_ensemble.studies.folds.read import CrossValidation, Rule

RESULTS, REPORT = "results.json", "report.html"


@dataclass(frozen=True)
class Options(recipe_words.Options):
    output: Path | None = None
    """Folder of the cross-validation, with a run folder for each fold. Default: runs/<recipe>-folds-seed<seed>."""
    folds: Words = ()
    """Only these folds, with commas or spaces; others can be added later. Default: all of the data set."""
    jobs: int | None = None
    """Folds at a time, each in a process of its own, 1 by default; elsewhere as many as there is room for."""
    epoch: Literal["last", "best-mean-accuracy"] = "last"
    """The epoch that is scored. best-mean-accuracy is the published rule: it selects on the test folds, and needs
    --training.save epoch."""


def main(args: Sequence[str]) -> None:
    if not args or args[0] in ("-h", "--help"):
        print(_usage())
        return
    launcher, (recipe, *words) = launcher_of(args, "cross-validate RECIPE")
    if any(word.split("=")[0] == "--dataset.fold" for word in words):
        raise UserError("--dataset.fold is of one run; --folds says which folds are cross-validated")
    found = recipe_words.asked(recipe, words, Options, "cross-validate")
    experiment, options = found.experiment, found.options
    folds = whole_numbers("--folds", options.folds)
    _check_rule(experiment.training, options.epoch)
    folder = options.output or Path("runs") / f"{recipe}-folds-seed{experiment.seed}{folder_suffix(found.members)}"

    from lora_ensemble.studies.folds.train import cross_validate

    done = cross_validate(experiment, folder, folds=folds or None, jobs=options.jobs, launcher=launcher)
    if left := [run.folder.name for run in done.runs.values() if not run.finished]:
        print(
            f"{', '.join(left)} of {printable(str(folder))} is not finished; the scores come with the last one",
            file=sys.stderr,
        )
        return
    print_scores(done, options.epoch)


def print_scores(done: CrossValidation, epoch: Rule) -> None:
    """The scores of a finished cross-validation; results.json and report.html beside its runs."""
    from lora_ensemble.analysis.fold_scores import FoldScores
    from lora_ensemble.report import write_report
    from lora_ensemble.studies.folds.results import fold_results

    print(f"trained in {done.cost['seconds']:.0f} s; scoring folds {', '.join(map(str, done.runs))}", file=sys.stderr)
    results = fold_results(done, epoch)
    results.save(done.folder / RESULTS)
    write_report(done.folder / REPORT, results)
    pooled, *folds = (run.scores for run in results.runs)
    scores = FoldScores(dict(zip(done.runs, folds, strict=True)), pooled, results.summary)
    print(scores.to_markdown().rstrip())
    print(printable(f"the same as {done.folder / RESULTS}; look at {done.folder / REPORT}"), file=sys.stderr)


def _check_rule(training: Training, epoch: str) -> None:
    """Before anything is trained, that the rule will find what it needs."""
    needed = {"save": (training.save, "epoch"), "keep_checkpoints": (training.keep_checkpoints, None)}
    if epoch != "last" and (
        wrong := [f"training.{k} = {v!r}: must be {w!r} for --epoch {epoch}" for k, (v, w) in needed.items() if v != w]
    ):
        raise ConfigurationError(wrong)


def _usage() -> str:
    from lora_ensemble.studies.folds.train import with_folds

    return "\n".join(
        [
            f"usage: {PROGRAM} cross-validate RECIPE [--folds N ...] [--jobs N] [--epoch last|best-mean-accuracy]",
            f"       {' ' * len(PROGRAM)} [--output FOLDER] [--members N] [--seed N] [--on local|ray|slurm]",
            f"       {' ' * len(PROGRAM)} [and what else train takes]",
            "",
            __doc__ or "",
            "",
            ABOUT,
            "",
            f"Data sets with folds: {', '.join(with_folds()) or 'none'}.",
            f"{PROGRAM} cross-validate RECIPE --help lists every field, with its value in that recipe.",
        ]
    )
