"""White noise over a sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.audio.shift import AudioShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DECIBELS = (20, 15, 10, 5, 0)
"""Of the sound over the noise (signal to noise ratio), by severity."""


@dataclass(frozen=True)
class WhiteNoise(AudioShift):
    """Its level follows that of the sound; silence stays silent."""

    def changed(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        import torch

        from lora_ensemble.audio.shift import power

        noise = torch.randn(wave.shape, generator=generator)
        ratio = 10 ** (DECIBELS[self.severity - 1] / 10)
        return wave + noise * (power(wave) / ratio).sqrt().float()
