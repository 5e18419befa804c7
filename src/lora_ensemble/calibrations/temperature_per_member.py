"""A temperature per member, each fitted for that member alone, then one on their pool where that helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lora_ensemble.contracts import Calibration
from lora_ensemble.fitted import Source

if TYPE_CHECKING:
    from torch import Tensor

    from lora_ensemble.predictions import Predictions


@dataclass(frozen=True)
class TemperaturePerMember(Calibration):
    """Calibrated members make an underconfident pool (Rahaman and Thiery 2021); hence the temperature after it."""

    temperatures: tuple[float, ...] = ()
    """(M,) divisors of each member's logits, fitted for that member's own NLL."""
    pool_temperature: float = 1.0
    """The pool that comes of it is raised to the power of 1 / this; the members follow. 1 where that lowers nothing."""

    @classmethod
    def fit(cls, validation: Predictions) -> Self:
        from lora_ensemble.recalibration.members import scaled
        from lora_ensemble.recalibration.pool import pool_temperature
        from lora_ensemble.recalibration.temperatures import best_temperature

        source = Source.of(validation)
        labels_B = validation.labels_B
        assert labels_B is not None
        each = tuple(best_temperature(member, labels_B, warn=False) for member in validation.logits_MBC[:, None])
        pool_BC = scaled(validation, each).pooled_probs()
        return cls(source, each, pool_temperature(pool_BC, labels_B))

    @property
    def moves_pool(self) -> bool:
        return self.pool_temperature != 1

    def logits(self, p: Predictions) -> Tensor:
        from lora_ensemble.recalibration.members import scaled, with_pool_temperature

        return with_pool_temperature(scaled(p, self.temperatures), self.pool_temperature)
