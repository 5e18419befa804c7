"""Impulse noise: single values become black or white (salt and pepper)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SHARES = (0.03, 0.06, 0.09, 0.17, 0.27)
"""Of the values that are replaced, by severity."""


@dataclass(frozen=True)
class ImpulseNoise(ImageShift):
    """At a higher severity the same values, and more."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        import torch

        replaced = torch.rand(image.shape, generator=generator) < SHARES[self.severity - 1]
        colour = (torch.rand(image.shape, generator=generator) < 0.5).to(image)
        return torch.where(replaced, colour, image)
