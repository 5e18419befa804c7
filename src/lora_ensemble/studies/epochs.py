"""Runs over their epochs: predictions of the members of several runs after each, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lora_ensemble.contracts import Dataset
from lora_ensemble.errors import RunFolderError
from lora_ensemble.runs.trained import Trained

if TYPE_CHECKING:
    from lora_ensemble.analysis import EpochsCurve
    from lora_ensemble.predictions import Pooling, Predictions


def followed(
    runs: Sequence[Trained],
    split: str = "test",
    ood: Mapping[str, Dataset] | None = None,
    pooling: Pooling = "mean-of-probabilities",
    dataset: Dataset | None = None,
) -> EpochsCurve:
    """Scores after each epoch of one ensemble, which may be spread over several runs. ood: data sets by their label.
    dataset: what is scored, in place of the runs' own."""
    from lora_ensemble.analysis import epochs_curve

    outside = {name: joined_epochs(runs, "test", dataset) for name, dataset in (ood or {}).items()}
    return epochs_curve(joined_epochs(runs, split, dataset), outside, pooling=pooling)


def joined_epochs(
    runs: Sequence[Trained], split: str = "test", dataset: Dataset | None = None
) -> dict[int, Predictions]:
    """The members of all runs as one ensemble, after each epoch.

    Raises RunFolderError for runs with weights of different epochs."""
    from lora_ensemble.predictions import Predictions

    parts = [run.predict_epochs(split, dataset) for run in runs]
    for run, part in zip(runs, parts, strict=True):
        if part.keys() != parts[0].keys():
            there, first = (", ".join(map(str, p)) for p in (part, parts[0]))
            raise RunFolderError(f"{run.folder} has weights of epochs {there}, {runs[0].folder} of {first}")
    return {epoch: Predictions.concat([part[epoch] for part in parts]) for epoch in parts[0]}
