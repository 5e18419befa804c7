"""Frequency and time masking of features (SpecAugment), in batch on their device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lora_ensemble.contracts import Batch

PUBLISHED_FILL = 0.618
"""The published code of AST and LoRA-Ensemble masks with 0 before it normalises; with ESC-50's mean -6.627 and twice
its deviation 5.358, that is this value afterwards. Frames of padding have it, too."""


@dataclass(frozen=True)
class Masking:
    """In each example, one band of frequencies and one stretch of time are overwritten (Park et al., arXiv 1904.08779,
    without warping). Widths are whole and uniform, 0 up to the largest less one; so are the places."""

    bins: int = 24
    """Masks of frequency are narrower than this; 0 for none."""
    frames: int = 96
    """Masks of time are shorter than this; 0 for none."""
    fill: float = PUBLISHED_FILL
    """What is written; 0 is the mean of normalised features."""

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Features are the tensors of three axes, (B, frames, bins), float; anything else stays as it is."""
        return {name: self._masked(x, generator) if x.ndim == 3 else x for name, x in batch.items()}

    def _masked(self, features: Tensor, generator: torch.Generator) -> Tensor:
        examples, frames, bins = features.shape
        time_BT = stretches(examples, frames, self.frames, generator)
        frequency_BF = stretches(examples, bins, self.bins, generator)
        return features.masked_fill(time_BT[:, :, None] | frequency_BF[:, None, :], self.fill)


def stretches(examples: int, size: int, limit: int, generator: torch.Generator) -> Tensor:
    """For each example a stretch of an axis of `size` places that is true, bool (examples, size): its length uniform in
    0 .. limit - 1, at most `size`, its start uniform among the places where it fits; on the generator's device."""
    import torch

    device = generator.device
    length_B, start_B = torch.rand(2, examples, generator=generator, device=device)
    length_B = (length_B * limit).floor().clamp(max=size)
    start_B = (start_B * (size - length_B + 1)).floor()
    place = torch.arange(size, device=device)
    masked: Tensor = (place >= start_B[:, None]) & (place < (start_B + length_B)[:, None])
    return masked
