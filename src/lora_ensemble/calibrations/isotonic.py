"""Isotonic regression of the pool: any rising map of each class's probability, one class against the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lora_ensemble.contracts import Calibration
from lora_ensemble.fitted import Source

if TYPE_CHECKING:
    from torch import Tensor

    from lora_ensemble.predictions import Predictions


@dataclass(frozen=True)
class Isotonic(Calibration):
    """Zadrozny and Elkan 2002. Each class's map is linear between its steps; the classes are normalised, with the raw
    pool as one row of the validation set more. A class that validation lacks keeps its probability. It maps the pool;
    the members follow it."""

    positions: tuple[tuple[float, ...], ...] = ()
    """(C, any number) probabilities at which the map of a class bends; none where the class was not there."""
    values: tuple[tuple[float, ...], ...] = ()
    """Shares of the class there."""

    @classmethod
    def fit(cls, validation: Predictions) -> Self:
        from sklearn.isotonic import IsotonicRegression

        source = Source.of(validation)
        assert validation.labels_B is not None
        positions, values = [], []
        for c in range(validation.num_classes):
            is_c_B = (validation.labels_B == c).double()
            if not bool(is_c_B.any()):
                positions.append(())
                values.append(())
                continue
            found = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
            found.fit(validation.pooled_probs()[:, c].numpy(), is_c_B.numpy())
            positions.append(tuple(found.X_thresholds_.tolist()))
            values.append(tuple(found.y_thresholds_.tolist()))
        return cls(source, tuple(positions), tuple(values))

    def logits(self, p: Predictions) -> Tensor:
        from lora_ensemble.recalibration.one_against_rest import interpolated
        from lora_ensemble.recalibration.pool import following

        maps = list(zip(self.positions, self.values, strict=True))
        return following(p, interpolated(p.pooled_probs(), maps, self.source.rows))
