"""Temperature scaling, fitted on validation predictions."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions
from lora_ensemble.recalibration.temperatures import best_temperature


@dataclass(frozen=True)
class Temperature:
    """Divides logits by a temperature: above 1 makes predictions less confident. Call it with predictions."""

    temperatures: tuple[float, ...]
    """One for all members, or one for each."""

    def __post_init__(self) -> None:
        if not self.temperatures or not all(t > 0 for t in self.temperatures):
            raise DataError(f"temperatures are {self.temperatures}, expected positive numbers")

    def __call__(self, p: Predictions) -> Predictions:
        """Calibrated predictions. Raises DataError for another number of members than it was fitted on."""
        if len(self.temperatures) not in (1, p.num_members):
            raise DataError(f"there are {len(self.temperatures)} temperatures for {p.num_members} members")
        temperature_M = torch.tensor(self.temperatures)
        return Predictions(p.logits_MBC / temperature_M[:, None, None], p.labels_B, p.ids, p.meta)


def fit_temperature(validation: Predictions, *, per_member: bool = False) -> Temperature:
    """The temperature that minimises the negative log-likelihood of validation labels (Guo et al. 2017, section 4.2).

    One temperature for all members, chosen for the ensemble's mean of probabilities (each member may stay off, if
    the pool is calibrated: Rahaman and Thiery 2021); or, per member, each one chosen for that member alone.
    The likelihood may have no maximum above 0, as where every member predicts all samples right: at a temperature near
    0 every later error would be a certain one. The temperature is 1 then, and a warning says so.
    Never fit on the split that is reported. Raises DataError for predictions without labels, or that say they are
    of the test split (`meta["split"] == "test"`).
    """
    labels_B = validation.labels_B
    if labels_B is None:
        raise DataError("a temperature is fitted to labels, and these predictions have none")
    if validation.meta.get("split") == "test":
        raise DataError("these are predictions of the test split: fit the temperature on validation predictions")
    groups = validation.logits_MBC.split(1) if per_member else [validation.logits_MBC]
    return Temperature(tuple(best_temperature(logits_MBC, labels_B) for logits_MBC in groups))
