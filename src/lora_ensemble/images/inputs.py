"""Images on their way into a model: stacked on the CPU, resized and normalised in batch on the model's device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lora_ensemble.contracts import Batch, Example
from lora_ensemble.errors import DataError


@dataclass(frozen=True)
class ImageInputs:
    """What a model wants of its images. The whole image is resized to `size`, without a crop."""

    size: tuple[int, int]
    """Height and width, in pixels."""
    mean: tuple[float, ...]
    """Per channel, of values in 0..1; as many as the model has channels."""
    std: tuple[float, ...]
    interpolation: str = "bilinear"
    """"bilinear" or "bicubic", always with antialiasing."""
    argument: str = "pixel_values"
    """Name of the model's argument."""

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Stack to {"image": uint8 (B, channels, H, W)}. Images of one batch that differ in size are resized here,
        one by one, to float32 (B, channels, *size): what an image becomes does not depend on those beside it. Raises
        DataError for an image that is not uint8 (H, W) or (H, W, 3)."""
        images = [_channels_first(example["image"], len(self.mean)) for example in examples]
        if len({image.shape for image in images}) > 1:
            images = [self._resized(image[None].float())[0] for image in images]
        return {"image": torch.stack(images)}

    def prepare(self, batch: Batch) -> Batch:
        """{"image": uint8 (B, channels, H, W)} to the model's argument: float32 (B, channels, *size), normalised."""
        image = self._resized(batch["image"].float()).div(255).clamp(0, 1)
        mean, std = (torch.tensor(v, device=image.device)[:, None, None] for v in (self.mean, self.std))
        return {self.argument: (image - mean) / std}

    def _resized(self, images: Tensor) -> Tensor:
        if images.shape[-2:] == self.size:
            return images
        return F.interpolate(images, self.size, mode=self.interpolation, align_corners=False, antialias=True)


def _channels_first(image: np.ndarray, channels: int) -> Tensor:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise DataError(f"an image is {image.dtype} {image.shape}: expected uint8 (H, W) or (H, W, 3)")
    image = np.require(image, requirements=["C", "W"])  # Pillow's arrays are read-only, which torch warns of
    if image.ndim == 2:
        return torch.from_numpy(image).expand(channels, -1, -1)
    if channels == 1:
        image = (image @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)[..., None]  # luma, ITU-R BT.601
    return torch.from_numpy(image).permute(2, 0, 1)
