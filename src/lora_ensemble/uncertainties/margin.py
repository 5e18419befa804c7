"""One minus the lead of the most probable class over the second."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uncertainty(top_BK: Tensor) -> Tensor:
    """0 .. 1."""
    return 1 - (top_BK[:, 0] - top_BK[:, 1])
