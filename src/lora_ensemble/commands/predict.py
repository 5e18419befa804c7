"""Predict a split with trained runs, and keep the predictions in their folders."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from lora_ensemble import registry
from lora_ensemble.arguments import RunOptions, parse


@dataclass(frozen=True)
class Options(RunOptions):
    split: str = "test"
    """train, validation or test."""
    dataset: str | None = None
    """Another data set than the one of the run, for instance an out-of-distribution one."""


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "predict", __doc__)
    dataset = None if options.dataset is None else registry.config_class("datasets", options.dataset)()

    from lora_ensemble.runs.run import Run

    for folder in options.runs:
        run = Run(folder)
        print(f"predicting {options.dataset or 'the'} {options.split} split with {folder}", file=sys.stderr)
        p = run.predict(options.split, dataset)
        labels = "with" if p.labels_B is not None else "without"
        print(f"{folder}: {p.num_members} members, {len(p)} rows, {p.num_classes} classes, {labels} labels")
