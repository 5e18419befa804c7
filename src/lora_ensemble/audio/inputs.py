"""Sounds on their way into an Audio Spectrogram Transformer: filter banks on the CPU, normalised on its device."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lora_ensemble.audio.cache import CachedFilterBanks
from lora_ensemble.audio.decoding import RATE
from lora_ensemble.audio.filterbanks import SHIFT, FilterBanks
from lora_ensemble.contracts import Batch, Example
from lora_ensemble.errors import DataError


@dataclass(frozen=True)
class SpectrogramInputs:
    """What a model wants of its sounds."""

    features: CachedFilterBanks
    mean: float
    """Of the values of spectrograms."""
    std: float

    @classmethod
    def of(cls, frames: int, bins: int, mean: float, std: float) -> SpectrogramInputs:
        """frames, bins: shape of the spectrograms."""
        return cls(CachedFilterBanks(FilterBanks(frames=frames, bins=bins)), mean, std)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """{"features": float32 (B, frames, bins)}. Warns of the first sound that is cut off. Raises DataError for a
        waveform that is not float32 (samples,)."""
        heard = (self.features.features.frames + 1) * SHIFT
        if any(len(example["audio"]) - heard > RATE // 10 for example in examples):
            warnings.warn(
                f"of sounds longer than {heard / RATE:.3g} s, the rest is cut off; backbone.frames = "
                f"{self.features.features.frames} decides (100 are a second)",
                stacklevel=2,
            )
        return {"features": torch.stack([self.features(example["audio"]) for example in examples])}

    def prepare(self, batch: Batch) -> Batch:
        """{"input_values": (x - mean) / (2 std)}, as Gong et al. do (arXiv 2104.01778)."""
        return {"input_values": (batch["features"] - self.mean) / (2 * self.std)}

    def statistics(self, examples: Sequence[Example]) -> tuple[float, float]:
        """Mean and standard deviation of all values, also of padding. Raises DataError where all are equal."""
        sums = torch.zeros(3, dtype=torch.float64)
        for example in examples:
            values = self.features(example["audio"]).double()
            sums += torch.stack([torch.ones_like(values).sum(), values.sum(), values.square().sum()])
        count, total, squares = sums.tolist()
        variance = squares / count - (total / count) ** 2 if count else 0.0
        if variance <= 0:
            raise DataError("the spectrograms of the training split do not vary: they cannot be normalised")
        return total / count, variance**0.5
