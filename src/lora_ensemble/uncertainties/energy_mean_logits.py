"""Energy of the mean of the members' logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uncertainty(logits_MBC: Tensor) -> Tensor:
    """Any number; never below `energy` (Jensen), more above it the more members disagree."""
    import torch

    return -logits_MBC.mean(0, dtype=torch.float64).logsumexp(-1)
