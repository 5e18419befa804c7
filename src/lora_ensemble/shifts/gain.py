"""A microphone that is far away: the sound is quieter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.audio.shift import AudioShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DECIBELS = (6, 12, 18, 24, 30)
"""By which it is quieter, by severity."""


@dataclass(frozen=True)
class Gain(AudioShift):
    """Nothing else is changed."""

    def changed(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        return wave * 10 ** (-DECIBELS[self.severity - 1] / 20)
