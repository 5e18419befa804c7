"""Mean of the members' entropies: aleatoric uncertainty, in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uncertainty(aleatoric_B: Tensor) -> Tensor:
    """0 .. ln C. High where members agree that the sample is ambiguous."""
    return aleatoric_B
