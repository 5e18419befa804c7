"""Temperature scaling: one temperature on the logits of all members, then one on their pool where that helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lora_ensemble.contracts import Calibration
from lora_ensemble.fitted import Source

if TYPE_CHECKING:
    from torch import Tensor

    from lora_ensemble.predictions import Predictions


@dataclass(frozen=True)
class Temperature(Calibration):
    """Above 1 predictions become less confident. Guo et al. 2017, section 4.2; of a pool, Rahaman and Thiery 2021."""

    temperature: float = 1.0
    """Divides the logits of every member; fitted for the NLL of their mean of probabilities."""
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
        first = best_temperature(validation.logits_MBC, labels_B, warn=False)
        pool_BC = scaled(validation, [first]).pooled_probs()
        return cls(source, first, pool_temperature(pool_BC, labels_B))

    @property
    def moves_pool(self) -> bool:
        return self.pool_temperature != 1

    def logits(self, p: Predictions) -> Tensor:
        from lora_ensemble.recalibration.members import scaled, with_pool_temperature

        return with_pool_temperature(scaled(p, [self.temperature]), self.pool_temperature)
