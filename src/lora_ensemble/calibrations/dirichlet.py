"""Dirichlet calibration of the pool: a regularised matrix on the logarithm of the pooled probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lora_ensemble.contracts import Calibration
from lora_ensemble.fitted import Source

if TYPE_CHECKING:
    from torch import Tensor

    from lora_ensemble.predictions import Predictions

PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""Precisions of the prior on what is off the diagonal; cross-fitting chooses."""


@dataclass(frozen=True)
class Dirichlet(Calibration):
    """Kull et al. 2019 with their off-diagonal regularisation, here a normal prior at the identity whose strength off
    the diagonal is chosen by cross-fitted NLL. It maps the pool; the members follow it."""

    matrix: tuple[tuple[float, ...], ...] = ()
    """(C, C): row c gives the logit of class c from all log-probabilities."""
    biases: tuple[float, ...] = ()
    """(C,) nats that are added then."""
    penalty: float = 1.0
    """The strength that was chosen."""

    @classmethod
    def fit(cls, validation: Predictions) -> Self:
        from lora_ensemble.recalibration.folds import fold_numbers
        from lora_ensemble.recalibration.pool import nll
        from lora_ensemble.recalibration.softmax_regression import inputs, predicted, regression

        source = Source.of(validation)
        labels_B = validation.labels_B
        assert labels_B is not None
        inputs_BC = inputs(validation.pooled_probs())
        number_B = fold_numbers(validation.pooled_probs(), labels_B, folds=3)

        def held_out(penalty: float) -> float:
            total = 0.0
            for k in range(int(number_B.max()) + 1):
                out_B = number_B == k
                if bool(out_B.all()):
                    return 0.0  # a single row: nothing to choose by
                fitted = regression(inputs_BC[~out_B], labels_B[~out_B], penalty)
                total += nll(predicted(inputs_BC[out_B], fitted), labels_B[out_B]) * int(out_B.sum())
            return total

        best = min(reversed(PENALTIES), key=held_out)
        matrix_CC, bias_C = regression(inputs_BC, labels_B, best)
        return cls(source, tuple(map(tuple, matrix_CC.tolist())), tuple(bias_C.tolist()), best)

    def logits(self, p: Predictions) -> Tensor:
        import torch

        from lora_ensemble.recalibration.pool import following
        from lora_ensemble.recalibration.softmax_regression import inputs, predicted

        matrix_CC, biases_C = (torch.tensor(v, dtype=torch.float64) for v in (self.matrix, self.biases))
        return following(p, predicted(inputs(p.pooled_probs()), (matrix_CC, biases_C)))
