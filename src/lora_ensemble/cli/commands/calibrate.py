"""Fit a calibration to the validation split of runs, or to a file of validation predictions, and keep it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from lora_ensemble.cli.arguments import parse
from lora_ensemble.cli.logit_files import FileOptions, check_kinds
from lora_ensemble.errors import UserError
from lora_ensemble.printable import printable

if TYPE_CHECKING:
    from lora_ensemble.contracts import Calibration
    from lora_ensemble.predictions import Predictions


@dataclass(frozen=True)
class Options:
    paths: Annotated[tuple[Path, ...], Positional, arg(metavar="RUN|FILE...", help_behavior_hint="")]
    """Run folders, or files of validation predictions."""
    with_: Annotated[str, arg(name="with", metavar="NAME")] = "temperature"
    """The calibration (`lora-ensemble list calibrations`), or best: the one of lowest cross-fitted NLL."""
    output: Path | None = None
    """Of one file: where its calibration is written. Default: beside it, as FILE.calibration.json."""
    files: OmitArgPrefixes[FileOptions] = field(default_factory=FileOptions)

    def __post_init__(self) -> None:
        if not self.paths:
            raise UserError("give at least one run folder, or one file of predictions")
        if self.output is not None and (len(self.paths) > 1 or self.paths[0].is_dir()):
            raise UserError("--output is for one file of predictions: a run keeps its calibration in its folder")


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "calibrate", __doc__)
    for path in options.paths:
        if path.is_dir():
            check_kinds([path], [], options.files, ())
        print(f"calibrating {printable(str(path))}", file=sys.stderr)
        validation, fitted, written = _of_run(path, options) if path.is_dir() else _of_file(path, options)
        print(_words(validation, fitted).rstrip())
        print(printable(str(written)))


def _of_run(folder: Path, options: Options) -> tuple[Predictions, Calibration, Path]:
    from lora_ensemble.runs.calibrated import CALIBRATION, validation_predictions
    from lora_ensemble.runs.run import Run

    run = Run(folder)
    run.classes  # noqa: B018  raises for an unfinished run
    return validation_predictions(run), run.calibrate(options.with_), folder / CALIBRATION


def _of_file(path: Path, options: Options) -> tuple[Predictions, Calibration, Path]:
    from lora_ensemble.analysis import calibrate

    validation = options.files.reading().read(path)
    fitted = calibrate(validation, options.with_)
    output = options.output or path.with_suffix(".calibration.json")
    fitted.save(output)
    return validation, fitted, output


def _words(validation: Predictions, fitted: Calibration) -> str:
    """Scores before and after, on the same rows, each calibrated by a fit without it."""
    from lora_ensemble.analysis import cross_fitted, evaluate, table

    if len(validation) < 2:
        return f"{fitted.name}, fitted on one row"
    after = cross_fitted(validation, fitted.name)
    shown = {"raw": validation, f"{fitted.name}, cross-fitted": after}
    rows = {name: [evaluate(p, intervals=False)] for name, p in shown.items()}
    lines = table(rows, ("accuracy", "nll", "brier", "ece_15")).to_markdown()
    return f"{fitted.name}, fitted on {fitted.source.rows} validation rows\n\n{lines}\n"
