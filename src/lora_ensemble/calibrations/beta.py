"""Beta calibration of the pool: a map of three numbers for each class's probability, one class against the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lora_ensemble.contracts import Calibration
from lora_ensemble.fitted import Source

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lora_ensemble.predictions import Predictions

FLOOR = 1e-12
"""Smaller probabilities, and such as are nearer to 1, count as this."""


@dataclass(frozen=True)
class Beta(Calibration):
    """Kull, Silva Filho and Flach 2017: the log-odds are a ln p - b ln(1 - p) + c, with a, b >= 0, and a normal prior
    at the identity (1, 1, 0); normalised. A class that validation lacks keeps its probability. It maps the pool; the
    members follow it."""

    parameters: tuple[tuple[float, float, float], ...] = ()
    """(C, 3): a, b and c of each class."""

    @classmethod
    def fit(cls, validation: Predictions) -> Self:
        import torch

        source = Source.of(validation)
        assert validation.labels_B is not None
        is_c_BC = torch.nn.functional.one_hot(validation.labels_B, validation.num_classes).double()
        there_C = is_c_BC.any(0)
        fitted_C3 = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64).repeat(validation.num_classes, 1)
        log_p_BC, log_rest_BC = _logs(validation.pooled_probs())
        fitted_C3[there_C] = _fit(log_p_BC[:, there_C], log_rest_BC[:, there_C], is_c_BC[:, there_C])
        return cls(source, tuple((a, b, c) for a, b, c in fitted_C3.tolist()))

    def logits(self, p: Predictions) -> Tensor:
        import torch

        from lora_ensemble.recalibration.one_against_rest import normalised
        from lora_ensemble.recalibration.pool import following

        a_C, b_C, c_C = torch.tensor(self.parameters, dtype=torch.float64).T
        log_p_BC, log_rest_BC = _logs(p.pooled_probs())
        odds_BC = torch.sigmoid(a_C * log_p_BC - b_C * log_rest_BC + c_C)
        return following(p, normalised(odds_BC.clamp(min=1e-300)))


def _logs(pool_BC: Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """ln p and ln(1 - p), (B, C)."""
    return pool_BC.clamp(FLOOR).log(), (1 - pool_BC).clamp(FLOOR).log()


def _fit(log_p_BC: Tensor, log_rest_BC: Tensor, is_c_BC: Tensor) -> Tensor:
    """(C, 3) maximum a posteriori a, b, c of every class; the classes' problems are one, and it is convex."""
    import numpy as np
    import torch
    from scipy.optimize import minimize

    rows, classes = is_c_BC.shape
    start = np.tile([1.0, 1.0, 0.0], (classes, 1))

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        at_C3 = torch.tensor(flat.reshape(classes, 3), dtype=torch.float64)
        a_C, b_C, c_C = at_C3.T
        odds_BC = a_C * log_p_BC - b_C * log_rest_BC + c_C
        value = torch.nn.functional.binary_cross_entropy_with_logits(odds_BC, is_c_BC, reduction="sum") / rows
        away_C3 = at_C3 - torch.tensor(start)
        slope_BC = (torch.sigmoid(odds_BC) - is_c_BC) / rows
        gradient_C3 = torch.stack([(slope_BC * log_p_BC).sum(0), -(slope_BC * log_rest_BC).sum(0), slope_BC.sum(0)], 1)
        total = value + away_C3.square().sum() / (2 * rows)
        return float(total), (gradient_C3 + away_C3 / rows).numpy().ravel()

    bounds = [(0, None), (0, None), (None, None)] * classes
    found = minimize(
        loss,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-9},
    )
    return torch.tensor(found.x.reshape(classes, 3), dtype=torch.float64)
