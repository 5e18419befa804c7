"""Mean over members of each one's energy, minus the log of the sum of exponentials of its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uncertainty(logits_MBC: Tensor) -> Tensor:
    """Any number (Liu et al. 2020, equation 4, at temperature 1)."""
    return -logits_MBC.logsumexp(-1).double().mean(0)
