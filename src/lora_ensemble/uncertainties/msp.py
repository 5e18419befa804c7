"""One minus the largest probability of the ensemble (Hendrycks and Gimpel 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LABEL = "largest probability"


def uncertainty(top_BK: Tensor) -> Tensor:
    """0 .. 1 - 1/C."""
    return 1 - top_BK[:, 0]
