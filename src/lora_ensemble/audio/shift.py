"""What the shifts of sounds have in common: a waveform at 16 kHz in, another of the same length out."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lora_ensemble.contracts import Example, Shift

if TYPE_CHECKING:
    import torch
    from torch import Tensor

RATE = 16_000
"""Samples a second of every example (`contracts.Split`)."""


@dataclass(frozen=True)
class AudioShift(Shift):
    """A change of sounds of any length."""

    modalities: ClassVar[tuple[str, ...]] = ("audio",)

    @abstractmethod
    def changed(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        """wave: float32 (samples,), at least one; returns as many."""

    def shifted(self, example: Example, generator: torch.Generator) -> Example:
        import numpy as np
        import torch

        wave = torch.from_numpy(np.array(example["audio"], dtype=np.float32))
        made = self.changed(wave, generator) if wave.numel() else wave
        return {**example, "audio": made.to(torch.float32).numpy()}


def power(wave: Tensor) -> Tensor:
    """Mean square."""
    return wave.double().square().mean()


def without(wave: Tensor, lowest: float, highest: float) -> Tensor:
    """The wave without its frequencies below and above two limits in Hz, which fade over a tenth of the limit."""
    import torch

    spectrum = torch.fft.rfft(wave)
    hertz = torch.linspace(0, RATE / 2, len(spectrum))
    keep = ((1.1 * highest - hertz) / (0.1 * highest)).clamp(0, 1)
    if lowest:
        keep = keep * ((hertz - 0.9 * lowest) / (0.1 * lowest)).clamp(0, 1)
    kept: Tensor = torch.fft.irfft(spectrum * keep, len(wave))
    return kept
