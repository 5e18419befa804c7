"""Standard deviation over members of the probability of the ensemble's prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MEMBERS = 2


def uncertainty(probs_MBC: Tensor, probs_BC: Tensor) -> Tensor:
    """0 .. 1/2, with divisor M."""
    predicted_B1 = probs_BC.argmax(-1, keepdim=True)
    probs_MB = probs_MBC.gather(2, predicted_B1.expand(len(probs_MBC), -1, 1)).squeeze(2)
    return probs_MB.double().std(0, correction=0)
