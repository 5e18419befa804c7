"""Reverberation: the sound in a room with hard walls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.audio.shift import AudioShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SECONDS = (0.2, 0.4, 0.7, 1.0, 1.5)
"""Until the answer has faded by 60 dB, by severity."""
DIRECT = (2.0, 1.4, 1.0, 0.7, 0.5)
"""How loud the sound itself is over the answer of the room (amplitudes), by severity."""


@dataclass(frozen=True)
class Reverberation(AudioShift):
    """The room answers with noise that fades exponentially (Moorer 1979); the level of the sound stays."""

    def changed(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        import math

        import torch

        from lora_ensemble.audio.shift import RATE, power

        seconds = SECONDS[self.severity - 1]
        time = torch.arange(int(seconds * RATE)) / RATE
        answer = torch.randn(time.shape, generator=generator) * torch.exp(-math.log(1000) * time / seconds)
        answer = answer / answer.norm()
        answer[0] = answer[0] + DIRECT[self.severity - 1]
        length = len(wave) + len(answer)
        made: Tensor = torch.fft.irfft(torch.fft.rfft(wave, length) * torch.fft.rfft(answer, length), length)[
            : len(wave)
        ]
        level: Tensor = (power(wave) / power(made).clamp(min=1e-30)).sqrt().float()
        return made * level
