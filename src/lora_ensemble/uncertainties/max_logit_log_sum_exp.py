"""Minus the largest of the members' logits, pooled per class by the log of their mean exponential."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uncertainty(logits_MBC: Tensor) -> Tensor:
    """Any number; never above `max_logit_mean_logits` (Jensen)."""
    import math

    return math.log(len(logits_MBC)) - logits_MBC.double().logsumexp(0).amax(-1)
