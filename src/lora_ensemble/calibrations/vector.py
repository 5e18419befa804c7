"""Vector scaling of the pool: a weight and a bias per class on the logarithm of the pooled probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lora_ensemble.contracts import Calibration
from lora_ensemble.fitted import Source

if TYPE_CHECKING:
    from torch import Tensor

    from lora_ensemble.predictions import Predictions


@dataclass(frozen=True)
class Vector(Calibration):
    """Guo et al. 2017, section 4.2, with a normal prior at the identity, so that a class which validation lacks moves
    little. It maps the pool; the members follow it."""

    weights: tuple[float, ...] = ()
    """(C,) factors of the log-probabilities."""
    biases: tuple[float, ...] = ()
    """(C,) nats that are added then."""

    @classmethod
    def fit(cls, validation: Predictions) -> Self:
        from lora_ensemble.recalibration.softmax_regression import inputs, regression

        source = Source.of(validation)
        assert validation.labels_B is not None
        matrix_CC, bias_C = regression(inputs(validation.pooled_probs()), validation.labels_B, None)
        return cls(source, tuple(matrix_CC.diagonal().tolist()), tuple(bias_C.tolist()))

    def logits(self, p: Predictions) -> Tensor:
        import torch

        from lora_ensemble.recalibration.pool import following
        from lora_ensemble.recalibration.softmax_regression import inputs, predicted

        weights_C, biases_C = (torch.tensor(v, dtype=torch.float64) for v in (self.weights, self.biases))
        return following(p, predicted(inputs(p.pooled_probs()), (torch.diag(weights_C), biases_C)))
