"""Defocus: every point becomes a disc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

RADII = (3, 4, 6, 8, 10)
"""In pixels of an image of 224, by severity."""


@dataclass(frozen=True)
class DefocusBlur(ImageShift):
    """The disc is as a lens makes it, its edge soft."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        from lora_ensemble.images.blurring import blurred, disc
        from lora_ensemble.images.shift import scale_of

        return blurred(image, *disc(RADII[self.severity - 1] * scale_of(image)))
