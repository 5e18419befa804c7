"""Motion blur: the camera moved, in a direction of the row's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TRAILS = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
"""Half the length of the trail and sigma of its fading, in pixels of an image of 224, by severity."""


@dataclass(frozen=True)
class MotionBlur(ImageShift):
    """A trail that fades, at most 45 degrees from the horizontal."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        import torch

        from lora_ensemble.images.blurring import blurred, trail
        from lora_ensemble.images.shift import scale_of

        half, sigma = TRAILS[self.severity - 1]
        degrees = 90 * float(torch.rand((), generator=generator)) - 45
        scale = scale_of(image)
        return blurred(image, *trail(2 * half * scale, sigma * scale, degrees, 2 * half + 1))
