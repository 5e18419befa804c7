"""Low frequencies are missing, as of a small loudspeaker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.audio.shift import AudioShift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

HERTZ = (100, 200, 400, 800, 1600)
"""The lowest that is left, by severity."""


@dataclass(frozen=True)
class HighPass(AudioShift):
    """What is below the limit fades over a tenth of it."""

    def changed(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        from lora_ensemble.audio.shift import RATE, without

        return without(wave, HERTZ[self.severity - 1], RATE)
