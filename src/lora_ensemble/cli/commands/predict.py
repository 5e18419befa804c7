"""Answer new rows with a trained run (--input), or predict a split with runs and keep the predictions in them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.cli.arguments import RunOptions, parse
from lora_ensemble.cli.data_names import datasets_named
from lora_ensemble.errors import UserError
from lora_ensemble.registry import name_of

if TYPE_CHECKING:
    from lora_ensemble.predictions import Predictions


@dataclass(frozen=True)
class Options(RunOptions):
    split: str = "test"
    """train, validation or test."""
    dataset: str | None = None
    """Another data set than the one of the run, NAME or NAME=FOLDER; for instance an out-of-distribution one."""
    ood: str | None = None
    """Out-of-distribution data sets beside it, NAME or NAME=FOLDER, several with commas: their test splits."""
    epochs: str | None = None
    """With the weights after these epochs, as in 0,1,5, or all; epoch 0 is before training. Needs a run with
    --training.save epoch."""


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "predict", __doc__)
    chosen = [(options.split, dataset) for dataset in datasets_named(options.dataset).values() or [None]]
    chosen += [("test", dataset) for dataset in datasets_named(options.ood).values()]
    epochs = None if options.epochs is None else epochs_named(options.epochs)

    from lora_ensemble.runs.run import Run

    for folder in options.runs:
        run = Run(folder)
        for split, dataset in chosen:
            name = "the" if dataset is None else name_of(dataset)
            print(f"predicting {name} {split} split with {folder}", file=sys.stderr)
            if epochs is None:
                print(f"{folder}: {_words(run.predict(split, dataset))}")
                continue
            for epoch, p in run.predict_epochs(split, dataset, epochs or None).items():
                print(f"{folder}, epoch {epoch}: {_words(p)}")


def epochs_named(words: str) -> list[int]:
    """The epochs of "0,1,5"; none for "all"."""
    if words == "all":
        return []
    numbers = words.split(",")
    if not all(number.strip().isdecimal() for number in numbers):
        raise UserError(f"--epochs {words}: expected all, or numbers with commas, as in 0,1,5")
    return [int(number) for number in numbers]


def _words(p: Predictions) -> str:
    labels = "with" if p.labels_B is not None else "without"
    return f"{p.num_members} members, {len(p)} rows, {p.num_classes} classes, {labels} labels"
