"""JPEG compression of low quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

QUALITIES = (25, 18, 15, 10, 7)
"""By severity."""


@dataclass(frozen=True)
class Jpeg(ImageShift):
    """Its blocks have 8 x 8 pixels in an image of any size."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        from lora_ensemble.images.jpeg import compressed

        return compressed(image, QUALITIES[self.severity - 1])
