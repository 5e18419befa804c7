"""Low contrast: every value is drawn to the mean of its channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LEFT = (0.4, 0.3, 0.2, 0.1, 0.05)
"""Of the distance to the mean, by severity."""


@dataclass(frozen=True)
class Contrast(ImageShift):
    """The mean stays."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        means = image.mean((1, 2), keepdim=True)
        return means + LEFT[self.severity - 1] * (image - means)
