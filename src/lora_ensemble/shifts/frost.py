"""Frost on the glass in front of the camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MIXES = ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
"""Of the image and of the frost, by severity."""
TINT = (0.82, 0.9, 1.0)


@dataclass(frozen=True)
class Frost(ImageShift):
    """Drawn crystals; the published corruption mixes in one of six photographs."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        import torch

        from lora_ensemble.images.shift import fitted, luma, standard_size
        from lora_ensemble.images.weather import crystals

        frost = fitted(crystals(standard_size(image), generator), image) * torch.tensor(TINT)[:, None, None]
        own, other = MIXES[self.severity - 1]
        return own * image + other * (frost if len(image) == 3 else luma(frost))
