"""High frequencies are missing, as on a telephone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.audio.shift import AudioShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

HERTZ = (6000, 4000, 3000, 2000, 1000)
"""The highest that is left, by severity; a sound at 16 kHz has frequencies up to 8000."""


@dataclass(frozen=True)
class LowPass(AudioShift):
    """What is above the limit fades over a tenth of it."""

    def changed(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        from lora_ensemble.audio.shift import without

        return without(wave, 0, HERTZ[self.severity - 1])
