"""Mean over members of the mass that evidence theory leaves to none of the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uncertainty(evidence_MB: Tensor, probs_BC: Tensor) -> Tensor:
    """0 .. 1: C / (C + the sum of exponentials of the logits) (Sensoy et al. 2018; Liu et al. 2020b, section 5.2)."""
    import math

    # A sigmoid's last bits may depend on a sample's place among others; equal samples are to have equal values.
    return (math.log(probs_BC.shape[-1]) - evidence_MB).sigmoid().mean(0).float().double()
