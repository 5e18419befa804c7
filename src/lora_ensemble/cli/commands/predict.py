"""Answer new rows with a trained run (--input), or predict a split with runs and keep the predictions in them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import tyro

from lora_ensemble.cli.arguments import RunOptions, parse
from lora_ensemble.cli.data_names import datasets_named
from lora_ensemble.cli.launching import ABOUT, launcher_of
from lora_ensemble.errors import UserError
from lora_ensemble.printable import printable
from lora_ensemble.registry import name_of

if TYPE_CHECKING:
    from lora_ensemble.contracts import Dataset
    from lora_ensemble.predictions import Predictions


@dataclass(frozen=True)
class Rows:
    """How the rows of --input are read; columns that are not named are found."""

    text_column: str | None = None
    """Column of the texts."""
    pair_column: str | None = None
    """Column of second texts."""
    image_column: str | None = None
    """Column of image files, or of encoded images."""
    audio_column: str | None = None
    """Column of sound files, or of encoded sounds."""
    label_column: str | None = None
    """Column of the labels; '' for none, even where there is one."""
    id_column: str | None = None
    """Column of the ids."""
    encoding: str | None = None
    """Of tables of text. Default: that of the run's data set, or UTF-8."""
    skip_unreadable: bool = False
    """Leave out rows that cannot be used, with a warning that counts them, instead of an error."""


@dataclass(frozen=True)
class Options(RunOptions):
    input: str | None = None
    """Rows to answer: a folder, a file or a table, with labels or without; - for lines of JSON on stdin."""
    output: str | None = None
    """Where the answers go: a .parquet, .csv or .jsonl file, or - for lines of JSON on stdout. After a kill, the same
    command goes on where it was."""
    probabilities: bool = False
    """With a column p_<class> for each class."""
    raw: bool = False
    """Without the run's calibration."""
    coverage: float | None = None
    """With a column "set": classes among which the right one is with this probability, as in 0.9."""
    conformal: str = "aps"
    """Kind of the sets: lac, aps, aps-deterministic, raps, saps, top-k."""
    penalty: float | None = None
    """Of raps, per rank, and of saps. Default: chosen on 30 % of the validation rows, for small sets."""
    free_ranks: int | None = None
    """Of raps, ranks without a penalty. Default: chosen on the same rows; with --penalty 1."""
    abstain_risk: float | None = None
    """With a column "abstain": of the rows that are answered, at most this share is wrong, as in 0.02."""
    confidence: float = 0.95
    """That the promise on the risk holds."""
    by: str = "total"
    """Uncertainty by which rows are left to a person."""
    budget: float | None = None
    """With --input: ask so many members of a row on average, as in 1.5; a column "members" says how many."""
    max_loss: float | None = None
    """With --input: ask as few members as turn at most this share of rows from right to wrong, as in 0.002."""
    rows: tyro.conf.OmitArgPrefixes[Rows] = field(default_factory=Rows)
    split: str = "test"
    """train, validation or test."""
    dataset: str | None = None
    """Another data set than the one of the run, NAME or NAME=FOLDER; for instance an out-of-distribution one."""
    ood: str | None = None
    """Out-of-distribution data sets beside it, NAME or NAME=FOLDER, several with commas: their test splits."""
    shift: str | None = None
    """After shifts: corruptions (all), or names of `lora-ensemble list shifts` with commas; :severity=1,3,5 for some of
    the five."""
    features: bool = False
    """Keep what each member's head is given, of the training split, too: for `evaluate --ood` by mahalanobis,
    relative_mahalanobis, knn and vim. Takes 4 bytes x members x rows x width, which is told before."""
    epochs: str | None = None
    """With the weights after these epochs, as in 0,1,5, or all; epoch 0 is before training. Needs a run with
    --training.save epoch."""


def main(args: Sequence[str]) -> None:
    launcher, words = launcher_of(args, "predict")
    options = parse(Options, words, "predict", f"{__doc__}\n\n{ABOUT}")
    if launcher.kind != "local" and options.epochs is None:
        raise UserError(f"--on {launcher.kind} needs --epochs: each epoch is a task; anything else is predicted here")
    if options.input is not None:
        _answer(options)
        return
    if options.output is not None:
        raise UserError("--output needs --input, the rows to answer; predictions of a split are kept in the run")
    if options.budget is not None or options.max_loss is not None:
        raise UserError(
            "--budget and --max-loss need --input; what they cost and lose on a split, analysis.adaptive says"
        )
    chosen = [(options.split, dataset) for dataset in datasets_named(options.dataset).values() or [None]]
    chosen += [("test", dataset) for dataset in datasets_named(options.ood).values()]
    epochs = None if options.epochs is None else epochs_named(options.epochs)
    if options.epochs is not None and (options.shift is not None or options.features):
        raise UserError(f"--epochs does not go with {'--features' if options.features else '--shift'}")
    if options.shift is not None:
        _shifted(options, chosen)
        return
    if options.features and ("train", None) not in chosen:
        chosen = [("train", None), *chosen]

    from lora_ensemble.runs.run import Run

    for folder in options.runs:
        run, shown = Run(folder), printable(str(folder))
        if launcher.kind != "local" and epochs is not None:
            from lora_ensemble.studies.apart import predict_epochs_apart

            predict_epochs_apart(run, chosen, epochs or list(run.epochs()), launcher, None, _tell)
        for split, dataset in chosen:
            name = "the" if dataset is None else name_of(dataset)
            print(f"predicting {name} {printable(split)} split with {shown}", file=sys.stderr)
            if epochs is None:
                print(f"{shown}: {_words(run.predict(split, dataset, features=options.features))}")
                continue
            for epoch, p in run.predict_epochs(split, dataset, epochs or None).items():
                print(f"{shown}, epoch {epoch}: {_words(p)}")


def _shifted(options: Options, chosen: Sequence[tuple[str, Dataset | None]]) -> None:
    from lora_ensemble.runs.run import Run
    from lora_ensemble.runs.shifts import shifts_named

    if options.features:
        raise UserError("--features does not go with --shift")
    assert options.shift is not None
    for folder in options.runs:
        run = Run(folder)
        for split, dataset in chosen:
            shifts = shifts_named(options.shift, (dataset or run.experiment.dataset).modality)
            for shift, p in run.predict_shifts(shifts, split, dataset):
                print(f"{printable(str(folder))}, {shift.kind} {shift.severity}: {_words(p)}", flush=True)


def _answer(options: Options) -> None:
    from lora_ensemble.answers.asked import Asked
    from lora_ensemble.answers.stream import options_for
    from lora_ensemble.cli.answering import answer_input
    from lora_ensemble.runs.run import Run

    if len(options.runs) > 1:
        raise UserError(f"--input is answered by one run, {len(options.runs)} were given")
    assert options.input is not None
    asked = Asked(
        raw=options.raw,
        probabilities=options.probabilities,
        coverage=options.coverage,
        conformal=options.conformal,
        risk=options.abstain_risk,
        confidence=options.confidence,
        by=options.by,
        budget=options.budget,
        max_loss=options.max_loss,
        penalty=options.penalty,
        free_ranks=options.free_ranks,
    )
    run = Run(options.runs[0])
    given = {name: value for name, value in vars(options.rows).items() if value is not None}
    answer_input(run, options.input, options.output, asked, options_for(run.experiment, **given))


def epochs_named(words: str) -> list[int]:
    """The epochs of "0,1,5"; none for "all"."""
    if words == "all":
        return []
    numbers = words.split(",")
    if not all(number.strip().isdecimal() for number in numbers):
        raise UserError(f"--epochs {words}: expected all, or numbers with commas, as in 0,1,5")
    return [int(number) for number in numbers]


def _tell(name: str, said: object) -> None:
    print(printable(f"{name}: {said}"), file=sys.stderr)


def _words(p: Predictions) -> str:
    labels = "with" if p.labels_B is not None else "without"
    return f"{p.num_members} members, {len(p)} rows, {p.num_classes} classes, {labels} labels"
