"""The ensembles that `evaluate` is given, whatever they come from: runs, cross-validations, files of logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lora_ensemble.cli.logit_files import ScoredFileOptions, read_given
from lora_ensemble.errors import UserError

if TYPE_CHECKING:
    from lora_ensemble.contracts import Calibration, Dataset
    from lora_ensemble.predictions import Predictions
    from lora_ensemble.runs.trained import Trained


@dataclass(frozen=True)
class Scored:
    """One ensemble."""

    label: str
    predictions: Predictions
    calibration: Calibration | None
    runs: Sequence[Trained] = ()
    """Whose predictions these are; none of a file."""


def ensembles_given(
    folders: Sequence[Path],
    files: Sequence[Path],
    options: ScoredFileOptions,
    *,
    split: str,
    dataset: Dataset | None,
    concat: bool,
) -> Iterator[Scored]:
    """Each with its label, seeds told apart, and with its calibration, where there is one."""
    from lora_ensemble.studies.groups import by_experiment, calibration_of, ensembles, joined

    if files:
        for each in read_given(files, options, None, concat):
            yield Scored(each.label, each.predictions, each.calibration)
        return
    chosen = ensembles(by_experiment(folders), concat)
    labels = [label for label, _ in chosen]
    for label, runs in chosen:
        name = f"{label} seed={runs[0].experiment.seed}" if labels.count(label) > 1 else label
        p = joined(runs, split, dataset)
        if dataset is not None and p.labels_B is None:
            raise UserError(f"--dataset: {dataset.kind} has no labels that are classes of {runs[0].folder}")
        yield Scored(name, p, calibration_of(runs, split), runs)


def check_one_seed(folders: Sequence[Path]) -> None:
    """Raises UserError for several seeds of one method."""
    from lora_ensemble.studies.groups import by_experiment

    groups = by_experiment(folders)
    if several := [label for label, runs in groups.items() if len(runs) > 1]:
        raise UserError(f"--paired: give one run of each method, there are several seeds of {several[0]}")
