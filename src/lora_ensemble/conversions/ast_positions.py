"""Position embeddings of one grid of patches for another one, as Gong et al. do (arXiv 2104.01778, section 2.2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def fitted(positions_HWD: Tensor, height: int, width: int) -> Tensor:
    """(H, W, D) to (height, width, D). Of an axis that is to be shorter, the middle is kept; one that is to be longer
    is interpolated linearly, its ends being half a patch outside the first and last position."""
    for axis, size in ((1, width), (0, height)):
        there = positions_HWD.shape[axis]
        if size <= there:
            positions_HWD = positions_HWD.narrow(axis, there // 2 - size // 2, size)
            continue
        longer = F.interpolate(positions_HWD.movedim(axis, -1), size, mode="linear", align_corners=False)
        positions_HWD = longer.movedim(-1, axis)
    return positions_HWD.contiguous()


def patches(length: int, patch: int, stride: int) -> int:
    """How many patches fit along an axis."""
    return (length - patch) // stride + 1
