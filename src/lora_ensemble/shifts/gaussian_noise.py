"""Gaussian noise on every pixel, as in dim light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DEVIATIONS = (0.08, 0.12, 0.18, 0.26, 0.38)
"""Of values 0 .. 1, by severity."""


@dataclass(frozen=True)
class GaussianNoise(ImageShift):
    """The same noise at every severity, larger."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        import torch

        noise = torch.randn(image.shape, generator=generator)
        return image + DEVIATIONS[self.severity - 1] * noise
