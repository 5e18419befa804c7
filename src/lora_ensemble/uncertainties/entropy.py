"""Entropy of the mean of the members' probabilities: total uncertainty, in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uncertainty(total_B: Tensor) -> Tensor:
    """0 .. ln C."""
    return total_B
