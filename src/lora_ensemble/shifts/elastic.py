"""An elastic deformation: small regions are stretched and compressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

STRENGTHS = (12.5, 16.25, 21.25, 25.0, 30.0)
"""By severity."""
LARGEST = 0.005
"""Movement of one point before smoothing, as a share of the height."""
SMOOTHING = 0.01
"""Sigma, as a share of each side."""


@dataclass(frozen=True)
class Elastic(ImageShift):
    """The field is drawn for a shorter side of 224 pixels and brought to the size of the image."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        import torch
        from torch.nn.functional import interpolate

        from lora_ensemble.images.blurring import gaussian, places, sampled
        from lora_ensemble.images.shift import standard_size

        height, width = size = standard_size(image)
        noise = (2 * torch.rand(2, height, width, generator=generator) - 1) * LARGEST * image.shape[-2]
        field = gaussian(noise, (SMOOTHING * height, SMOOTHING * width), cut=3) * STRENGTHS[self.severity - 1]
        if size != tuple(image.shape[-2:]):
            field = interpolate(field[None], image.shape[-2:], mode="bilinear", align_corners=False)[0]
        down, right = places(image)
        return sampled(image, down + field[0], right + field[1])
