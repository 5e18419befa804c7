"""Options of the commands that take files of logits in place of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from lora_ensemble.cli.lists import Words, items
from lora_ensemble.errors import UserError

if TYPE_CHECKING:
    from lora_ensemble.studies.given_files import Given, Reading

Paths = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE...", help_behavior_hint="")]


@dataclass(frozen=True)
class FileOptions:
    """How files of logits are read."""

    labels: str | None = None
    """Of files of logits: a file of labels, or the column or array of them. Default: the one that is named so."""
    probabilities: bool = False
    """Files hold probabilities instead of logits."""
    members: int | None = None
    """Files hold the rows of so many members below each other, (M * B, C), those of member 0 first."""
    columns: Words = ()
    """Columns of the values, with commas or spaces (or the array of them), where their names do not tell."""

    def reading(self) -> Reading:
        """What the predictions are read by."""
        from lora_ensemble.studies.given_files import Reading

        return Reading(self.labels, self.probabilities, self.members, tuple(items(self.columns)))


@dataclass(frozen=True)
class ScoredFileOptions(FileOptions):
    """The same, where files are scored."""

    validation: Words = ()
    """Files of validation logits, one for each file: a temperature is fitted to them."""
    calibration: Path | None = None
    """A calibration that `calibrate FILE` wrote."""


def divided(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Run folders, and files of logits. Raises UserError where nothing is given."""
    from lora_ensemble.studies.given_files import is_file

    if not paths:
        raise UserError("give at least one run folder, or one file of logits")
    files = [path for path in paths if is_file(path)]
    return [path for path in paths if path not in files], files


def check_kinds(
    folders: Sequence[Path], files: Sequence[Path], ours: object, theirs: Sequence[tuple[str, bool]]
) -> None:
    """Raises UserError for runs and files at once, for options of files with runs, and for those of runs (their flag,
    and whether it is given) with files."""
    if folders and files:
        raise UserError(f"{folders[0]} is a run and {files[0]} a file: score them one after the other")
    given = [f"--{name.replace('_', '-')}" for name, value in vars(ours).items() if value not in (None, (), False)]
    if folders and given:
        raise UserError(f"{given[0]} is for files of logits, {folders[0]} is a run (or there is no such file)")
    for flag, used in theirs if files else ():
        if used:
            raise UserError(f"{flag} is for runs, {files[0]} is a file of logits")


def read_given(files: Sequence[Path], options: ScoredFileOptions, ood: str | None, concat: bool) -> list[Given]:
    """The ensembles that the files hold."""
    from lora_ensemble.studies.given_files import given_files, ood_files

    validation = [Path(name) for name in items(options.validation)]
    return given_files(files, options.reading(), ood_files(ood), validation, options.calibration, concat)
