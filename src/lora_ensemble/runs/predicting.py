"""Which predictions of a run are wanted, and how they are computed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lora_ensemble import registry
from lora_ensemble.contracts import Dataset, LoadedBackbone, Shift
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.experiment import Experiment
from lora_ensemble.runs.building import check_modality
from lora_ensemble.sources.shifted import shifted

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble
    from lora_ensemble.predictions import Predictions


@dataclass(frozen=True)
class Wanted:
    """Predictions of a split with the weights of a step; None: of the end of training."""

    split: str
    dataset: Dataset
    step: int | None = None
    shift: Shift | None = None
    """What the rows go through before."""
    features: bool = False
    """With what each member's head is given."""

    def __post_init__(self) -> None:
        if self.shift is not None and (problems := self.shift.problems()):
            raise ConfigurationError(problems)

    def about(self) -> dict[str, Any]:
        """What the meta of the predictions says of it."""
        words = {} if self.shift is None else {"shift": registry.record(self.shift)}
        return {"dataset": registry.name_of(self.dataset), "split": self.split, **words}


def predicted(
    experiment: Experiment, classes: Sequence[str], wanted: Wanted, loaded: tuple[LoadedBackbone, Ensemble]
) -> Predictions:
    """Computed now. Raises DataError for rows that cannot be predicted, UserError for a shift of other rows."""
    from lora_ensemble.devices import pick_device
    from lora_ensemble.inference import predict_split

    training = experiment.training
    rows = wanted.dataset.load(wanted.split)
    check_modality(experiment, rows)
    if wanted.shift is not None:
        rows = shifted(rows, wanted.shift)
    backbone, ensemble = loaded
    if training.members_per_pass is not None:
        ensemble.members_per_pass = training.members_per_pass
    return predict_split(
        ensemble,
        rows,
        backbone,
        classes=classes,
        batch_size=training.batch_size,
        device=pick_device(training.device),
        precision=training.precision,
        workers=training.workers,
        seed=experiment.seed,
        on_features=_say if wanted.features else None,
    )


def _say(words: str) -> None:
    print(words, file=sys.stderr)
