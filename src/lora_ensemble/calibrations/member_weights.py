"""Weights of members, fitted on validation: what has learned little counts little; then a temperature on the pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lora_ensemble.contracts import Calibration
from lora_ensemble.fitted import Source

if TYPE_CHECKING:
    from torch import Tensor

    from lora_ensemble.predictions import Predictions

TOLERANCE = 1e-10
"""Largest step of a weight at which the search ends."""


@dataclass(frozen=True)
class MemberWeights(Calibration):
    """The pool is the weighted mean of the members' probabilities. Weights are those of a mixture, by expectation
    maximisation (Dempster, Laird and Rubin 1977), with one row of evidence for each member beforehand. It maps the
    pool; the members follow it, each still counting the same in their mean."""

    weights: tuple[float, ...] = ()
    """(M,), at least 0, with the sum 1."""
    pool_temperature: float = 1.0
    """The weighted pool is raised to the power of 1 / this; 1 where that lowers nothing."""

    @classmethod
    def fit(cls, validation: Predictions) -> Self:
        import torch

        from lora_ensemble.recalibration.pool import SMALLEST, pool_temperature

        source = Source.of(validation)
        labels_B, members = validation.labels_B, validation.num_members
        assert labels_B is not None
        logs_MBC = (torch.log_softmax(member.double(), -1) for member in validation.logits_MBC)
        label_logs_MB = torch.stack([logs_BC.gather(1, labels_B[:, None]).squeeze(1) for logs_BC in logs_MBC])
        label_probs_MB = (label_logs_MB - label_logs_MB.amax(0)).exp()
        weights_M = torch.full((members,), 1 / members, dtype=torch.float64)
        for _ in range(5000):
            shares_MB = weights_M[:, None] * label_probs_MB
            shares_MB = shares_MB / shares_MB.sum(0).clamp(min=SMALLEST)
            new_M = (shares_MB.sum(1) + 1) / (len(validation) + members)
            moved = float((new_M - weights_M).abs().max())
            weights_M = new_M
            if moved < TOLERANCE:
                break
        weights_M = weights_M / weights_M.sum()
        return cls(source, tuple(weights_M.tolist()), pool_temperature(_pool(validation, weights_M), labels_B))

    def logits(self, p: Predictions) -> Tensor:
        import torch

        from lora_ensemble.recalibration.pool import following, sharpened

        pool_BC = _pool(p, torch.tensor(self.weights, dtype=torch.float64))
        return following(p, sharpened(pool_BC, self.pool_temperature))


def _pool(p: Predictions, weights_M: Tensor) -> Tensor:
    """(B, C) weighted mean of the members' probabilities, float64."""
    import torch

    pool_BC = torch.zeros(p.logits_MBC.shape[1:], dtype=torch.float64)
    for weight, logits_BC in zip(weights_M.tolist(), p.logits_MBC, strict=True):
        pool_BC += weight * torch.softmax(logits_BC.double(), -1)
    return pool_BC
