"""Few pixels: the image is made smaller, and each pixel large again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SHARES = (0.6, 0.5, 0.4, 0.3, 0.25)
"""Of the pixels along each side that are left, by severity."""


@dataclass(frozen=True)
class Pixelate(ImageShift):
    """Shares of the size, whatever it is."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        from torch.nn.functional import interpolate

        small = [max(1, int(side * SHARES[self.severity - 1])) for side in image.shape[-2:]]
        return interpolate(interpolate(image[None], small, mode="area"), image.shape[-2:], mode="nearest-exact")[0]
