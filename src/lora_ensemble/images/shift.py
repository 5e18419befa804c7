"""What the shifts of images have in common: pixels as numbers 0 .. 1 and back, and lengths that follow the size."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lora_ensemble.contracts import Example, Shift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

STANDARD = 224
"""Shorter side of an image, in pixels, for which the published lengths are meant."""


@dataclass(frozen=True)
class ImageShift(Shift):
    """A corruption of images of any size, grey or in colour. The published ones (Hendrycks and Dietterich,
    "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019) are meant for a shorter
    side of 224 pixels; here a length follows the image's shorter side, so that an image looks alike at every size."""

    modalities: ClassVar[tuple[str, ...]] = ("image",)

    @abstractmethod
    def corrupted(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """image: float32 (channels, H, W) of values 0 .. 1, with one channel or three. What is beyond 0 .. 1 is cut."""

    def shifted(self, example: Example, generator: torch.Generator) -> Example:
        import numpy as np
        import torch

        pixels = example["image"]
        image = torch.from_numpy(np.array(pixels)).reshape(*pixels.shape[:2], -1).permute(2, 0, 1).float().div(255)
        made = self.corrupted(image, generator).clamp(0, 1).mul(255).round().to(torch.uint8)
        return {**example, "image": made.permute(1, 2, 0).reshape(pixels.shape).contiguous().numpy()}


def scale_of(image: Tensor) -> float:
    """How long a published length is in this image: 1 where its shorter side has 224 pixels."""
    return min(image.shape[-2:]) / STANDARD


def standard_size(image: Tensor) -> tuple[int, int]:
    """Height and width of the image when its shorter side has 224 pixels."""
    height, width = (max(1, round(side / scale_of(image))) for side in image.shape[-2:])
    return height, width


def fitted(layer: Tensor, image: Tensor) -> Tensor:
    """A layer (H, W) in the size of an image."""
    from torch.nn.functional import interpolate

    if layer.shape == image.shape[-2:]:
        return layer
    sized = interpolate(layer[None, None], image.shape[-2:], mode="bilinear", align_corners=False, antialias=True)
    return sized[0, 0]


def luma(image: Tensor) -> Tensor:
    """(H, W) brightness, ITU-R BT.601."""
    red, green, blue = image.expand(3, -1, -1)
    brightness: Tensor = 0.299 * red + 0.587 * green + 0.114 * blue
    return brightness
