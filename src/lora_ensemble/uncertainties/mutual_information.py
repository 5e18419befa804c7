"""Mutual information of label and member: epistemic uncertainty, in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MEMBERS = 2


def uncertainty(epistemic_B: Tensor) -> Tensor:
    """0 .. ln M. Entropy less expected entropy (Houlsby et al. 2011, equation 2): high where members disagree."""
    return epistemic_B
