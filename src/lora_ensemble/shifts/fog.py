"""Fog: bright clouds over the image, which loses contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FOG = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
"""How thick it is, and how smooth (`weather.plasma`), by severity."""


@dataclass(frozen=True)
class Fog(ImageShift):
    """Clouds are drawn for a shorter side of 224 pixels and brought to the size of the image."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        from lora_ensemble.images.shift import fitted, standard_size
        from lora_ensemble.images.weather import plasma

        thick, smooth = FOG[self.severity - 1]
        brightest = image.max()
        clouds = fitted(plasma(standard_size(image), smooth, generator), image)
        return (image + thick * clouds) * brightest / (brightest + thick)
