"""Snow that falls between the camera and what it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FLAKES = (
    ((0.1, 0.3), 3, 0.5, (10, 4), 0.8),
    ((0.2, 0.3), 2, 0.5, (12, 4), 0.7),
    ((0.55, 0.3), 4, 0.9, (12, 8), 0.7),
    ((0.55, 0.3), 4.5, 0.85, (12, 8), 0.65),
    ((0.55, 0.3), 2.5, 0.85, (12, 12), 0.55),
)
"""By severity the arguments of `weather.flakes`, and what is left of the image's own colours."""


@dataclass(frozen=True)
class Snow(ImageShift):
    """Flakes with trails, drawn for a shorter side of 224 pixels and brought to the size of the image."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        import torch

        from lora_ensemble.images.shift import fitted, luma, standard_size
        from lora_ensemble.images.weather import flakes

        level, zoom, least, movement, own = FLAKES[self.severity - 1]
        layer = fitted(flakes(standard_size(image), level, zoom, least, movement, generator), image)
        pale = own * image + (1 - own) * torch.maximum(image, 1.5 * luma(image) + 0.5)
        return pale + layer + layer.rot90(2, (0, 1))
