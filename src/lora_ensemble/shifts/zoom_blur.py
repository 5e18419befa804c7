"""Zoom blur: the camera moved towards what it saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ZOOMS = ((1.1, 11), (1.15, 16), (1.2, 11), (1.25, 13), (1.3, 11))
"""The largest, and the number of enlargements from 1 on, by severity."""


@dataclass(frozen=True)
class ZoomBlur(ImageShift):
    """The mean of the image and of enlargements about its centre."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        import torch

        from lora_ensemble.images.blurring import places, sampled

        most, number = ZOOMS[self.severity - 1]
        down, right = places(image)
        y, x = ((side - 1) / 2 for side in image.shape[-2:])
        total = image
        for zoom in torch.linspace(1, most, number).tolist():
            total = total + sampled(image, y + (down - y) / zoom, x + (right - x) / zoom)
        return total / (number + 1)
