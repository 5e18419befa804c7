"""Log-mel filter banks as Kaldi computes them, which is what Audio Spectrogram Transformers listen to."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lora_ensemble.audio.decoding import RATE, SHORTEST
from lora_ensemble.errors import DataError

WINDOW, SHIFT, FFT = SHORTEST, 160, 512
"""Samples of a frame (25 ms), from one frame to the next (10 ms), and of its Fourier transform."""

LOWEST = 20.0
"""Hz, where the lowest band begins; the highest ends at half the rate."""
_PREEMPHASIS = 0.97
_FLOOR = torch.finfo(torch.float32).eps  # of a band's energy, before the logarithm


@dataclass(frozen=True)
class FilterBanks:
    """Kaldi's `fbank` with a Hanning window, without dither and energy: the input of the Audio Spectrogram Transformer
    (Gong et al., arXiv 2104.01778, section 2.1). Not normalised.

    Each frame loses its own mean, so that of the whole clip, which the published code subtracts, makes no difference.
    Computed in double precision: in single precision, bands without sound beside loud ones would be rounding noise."""

    frames: int = 512
    """Length of the features: frames beyond are cut off, missing ones are zeros at the end. 512 frames are 5.1 s."""
    bins: int = 128
    """Number of mel bands."""

    def __call__(self, waveform: np.ndarray) -> Tensor:
        """Waveform float32 (samples,) at 16 kHz, to features float32 (frames, bins): natural logarithms of energies.

        Raises DataError for a waveform of another form, or shorter than one frame."""
        if waveform.dtype != np.float32 or waveform.ndim != 1:
            raise DataError(f"a waveform is {waveform.dtype} {waveform.shape}: expected float32 (samples,)")
        if len(waveform) < WINDOW:
            raise DataError(f"a waveform has {len(waveform)} samples: expected at least {WINDOW}, which is 25 ms")
        heard = torch.from_numpy(waveform[: WINDOW + (self.frames - 1) * SHIFT].astype(np.float64))
        windows_TW = heard.unfold(0, WINDOW, SHIFT)
        windows_TW = windows_TW - windows_TW.mean(1, keepdim=True)
        before_TW = F.pad(windows_TW, (1, 0), mode="replicate")[:, :-1]
        windows_TW = (windows_TW - _PREEMPHASIS * before_TW) * torch.hann_window(WINDOW, False, dtype=torch.float64)
        spectrum_TF = torch.fft.rfft(windows_TW, FFT)
        power_TF = spectrum_TF.real.square() + spectrum_TF.imag.square()
        features_TB = (power_TF @ _mel_bands(self.bins)).clamp_min(_FLOOR).log().float()
        return F.pad(features_TB, (0, 0, 0, self.frames - len(features_TB)))


@cache
def _mel_bands(bins: int) -> Tensor:
    """(FFT / 2 + 1, bins), float64: triangles that are equal on the mel scale, each of height 1."""
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of 128 bands, the lowest few are narrower than the transform's resolution
        bands = mel_filter_bank(
            num_frequency_bins=FFT // 2 + 1,
            num_mel_filters=bins,
            min_frequency=LOWEST,
            max_frequency=RATE / 2,
            sampling_rate=RATE,
            norm=None,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
    return torch.from_numpy(bands)
