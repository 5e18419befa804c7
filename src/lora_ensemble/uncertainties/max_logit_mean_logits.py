"""Minus the largest of the members' mean logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uncertainty(logits_MBC: Tensor) -> Tensor:
    """Any number; never below `max_logit`, and equal to it where members agree on the class."""
    import torch

    return -logits_MBC.mean(0, dtype=torch.float64).amax(-1)
