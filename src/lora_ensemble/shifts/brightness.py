"""Too much light: the value of each colour (HSV) is raised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.images.shift import ImageShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ADDED = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Of values 0 .. 1, by severity."""


@dataclass(frozen=True)
class Brightness(ImageShift):
    """Hue and saturation stay."""

    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        import torch

        value = image.amax(0, keepdim=True)
        raised = (value + ADDED[self.severity - 1]).clamp(max=1)
        return torch.where(value > 0, image / value.clamp(min=1e-6) * raised, raised)
