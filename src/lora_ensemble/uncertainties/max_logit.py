"""Minus the mean over members of each one's largest logit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uncertainty(max_logit_MB: Tensor) -> Tensor:
    """Any number (Hendrycks et al. 2022, section 3)."""
    return -max_logit_MB.mean(0)
