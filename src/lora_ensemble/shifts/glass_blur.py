"""Frosted glass: pixels are taken from places nearby, between two blurs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SIGMAS = (0.7, 0.9, 1.0, 1.1, 1.5)
REACHES = (1, 2, 2, 3, 4)
"""In pixels of an image of 224, by severity."""
TIMES = (4, 2, 6, 4, 4)
"""How often a pixel moves: where pixels are swapped, each moves twice."""


@dataclass(frozen=True)
class GlassBlur(ImageShift):
    """Each pixel is drawn from those around it, where the published one swaps it with one of them."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        import torch

        from lora_ensemble.images.blurring import gaussian, places, sampled
        from lora_ensemble.images.shift import scale_of

        level, scale = self.severity - 1, scale_of(image)
        image = gaussian(image, SIGMAS[level] * scale)
        reach = (REACHES[level] + 0.5) * scale
        down, right = places(image)
        for _ in range(TIMES[level]):
            moved = reach * (2 * torch.rand(2, *down.shape, generator=generator) - 1)
            image = sampled(image, down + moved[0], right + moved[1])
        return gaussian(image, SIGMAS[level] * scale)
