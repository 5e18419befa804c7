"""One minus the lead of the most probable class over the second."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uncertainty(probs_BC: Tensor) -> Tensor:
    """0 .. 1."""
    first_B, second_B = probs_BC.topk(2, dim=-1).values.unbind(-1)
    return 1 - (first_B - second_B)
