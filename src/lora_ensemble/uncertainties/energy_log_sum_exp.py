"""Energy of the members together: minus the log of the mean over members of their sums of exponentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uncertainty(evidence_MB: Tensor) -> Tensor:
    """Any number; never above `energy` (Jensen). The member with the highest logits weighs most."""
    import math

    return math.log(len(evidence_MB)) - evidence_MB.logsumexp(0)
