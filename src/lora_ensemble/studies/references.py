"""What hidden features are compared with: the training samples of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lora_ensemble.runs.trained import Trained

if TYPE_CHECKING:
    from lora_ensemble.predictions import Predictions


def reference_of(runs: Sequence[Trained], compared: Sequence[Predictions]) -> Predictions | None:
    """Predictions of the training split with hidden features, of the members of all runs, where all that is compared
    with it has them (`predict RUN --features --ood DATASET`); else None."""
    from lora_ensemble.predictions import Predictions

    if any(p.features_MBD is None for p in compared):
        return None
    return Predictions.concat([run.predict("train", features=True) for run in runs])
