"""Mean over members of each one's energy, minus the log of the sum of exponentials of its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uncertainty(evidence_MB: Tensor) -> Tensor:
    """Any number (Liu et al. 2020, equation 4, at temperature 1)."""
    return -evidence_MB.mean(0)
