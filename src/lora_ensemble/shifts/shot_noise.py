"""Shot noise: light that is counted, photon by photon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PHOTONS = (60, 25, 12, 5, 3)
"""Of a white pixel on average, by severity."""


@dataclass(frozen=True)
class ShotNoise(ImageShift):
    """Poisson noise."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        import torch

        photons = PHOTONS[self.severity - 1]
        return torch.poisson(image * photons, generator=generator) / photons
