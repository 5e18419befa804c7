"""Random flips and rotations of prepared images, in batch on their device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lora_ensemble.contracts import Batch

Augmentation = Literal["flip", "rotate"]


@dataclass(frozen=True)
class FlipAndRotate:
    """Each image is flipped left to right and upside down, each with probability 1/2, then rotated by an angle uniform
    in 0 to 180 degrees (arXiv 2405.14438).

    Rotation is bilinear. What comes in from outside the image is 0, which for prepared inputs is their mean colour.
    """

    flip: bool = True
    rotate: bool = True
    aspect: float = 1.0
    """Width over height of the images before they were resized: the rotation is of the undistorted image."""

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Images are the tensors of four axes, (B, channels, H, W), float; anything else stays as it is."""
        return {name: self._images(values, generator) if values.ndim == 4 else values for name, values in batch.items()}

    def _images(self, images: Tensor, generator: torch.Generator) -> Tensor:
        import torch

        if self.flip:
            for axis in (-1, -2):
                flipped = torch.rand(len(images), generator=generator, device=images.device) < 0.5
                images = torch.where(flipped[:, None, None, None], images.flip(axis), images)
        if self.rotate:
            angles_B = torch.rand(len(images), generator=generator, device=images.device) * math.pi
            images = rotated(images, angles_B, self.aspect)
        return images


def rotated(images: Tensor, angles_B: Tensor, aspect: float = 1.0) -> Tensor:
    """Images (B, channels, H, W), each rotated about its centre, counter-clockwise, by its angle in radians."""
    import torch
    from torch.nn import functional as F

    cos, sin, none = angles_B.cos(), angles_B.sin(), torch.zeros_like(angles_B)
    rows = [torch.stack([cos, -sin / aspect, none], 1), torch.stack([sin * aspect, cos, none], 1)]
    grid = F.affine_grid(torch.stack(rows, 1).to(images.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def augmentation(kinds: Sequence[Augmentation], aspect: float = 1.0) -> FlipAndRotate | None:
    """The augmentation of a data set's field; None for none."""
    return FlipAndRotate("flip" in kinds, "rotate" in kinds, aspect) if kinds else None
