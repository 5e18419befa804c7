"""Filter banks are Kaldi's: equal to a slow computation frame by frame, and to what others compute."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_ensemble.audio.decoding import decode
from lora_ensemble.audio.filterbanks import FilterBanks
from lora_ensemble.errors import DataError


def sound(samples: int, seed: int = 0) -> np.ndarray:
    """A tone that rises, noise, and half a second of silence."""
    seconds = np.arange(samples) / 16000
    noise = np.random.default_rng(seed).normal(0, 0.05, samples)
    wave = 0.3 * np.sin(2 * np.pi * (200 + 400 * seconds) * seconds) + noise + 0.1
    wave[16000:24000] = 0
    return wave.astype(np.float32)


def mel(hertz: float) -> float:
    return 1127 * np.log(1 + hertz / 700)


def slow(waveform: np.ndarray, frames: int, bins: int) -> np.ndarray:
    """Each frame by itself, by a Fourier transform written out and triangles drawn one by one."""
    edges = [mel(20) + i * (mel(8000) - mel(20)) / (bins + 1) for i in range(bins + 2)]
    triangles = np.zeros((bins, 257))
    for b in range(bins):
        left, centre, right = edges[b : b + 3]
        for f in range(257):
            m = mel(f * 16000 / 512)
            if left < m < right:
                triangles[b, f] = (m - left) / (centre - left) if m <= centre else (right - m) / (right - centre)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)
    out = np.zeros((frames, bins))
    waveform = waveform.astype(np.float64) - waveform.astype(np.float64).mean()
    for t in range(min(frames, 1 + (len(waveform) - 400) // 160)):
        frame = waveform[160 * t : 160 * t + 400]
        frame = frame - frame.mean()
        frame = np.array([frame[i] - 0.97 * frame[max(i - 1, 0)] for i in range(400)])
        frame = frame * [0.5 - 0.5 * np.cos(2 * np.pi * i / 399) for i in range(400)]
        out[t] = np.log(np.maximum(triangles @ np.abs(waves @ frame) ** 2, np.finfo(np.float32).eps))
    return out


def transformers(waveform: np.ndarray, frames: int, bins: int) -> np.ndarray:
    from transformers import ASTFeatureExtractor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bands that are narrower than the transform's resolution
        extractor = ASTFeatureExtractor(max_length=frames, num_mel_bins=bins, do_normalize=False)
    return extractor(waveform, sampling_rate=16000, return_tensors="np")["input_values"][0]


@pytest.mark.parametrize("reference", [slow, transformers])
@pytest.mark.parametrize(("samples", "frames", "bins"), [(32000, 128, 128), (32000, 256, 40), (400, 3, 128)])
def test_features_are_those_of_the_reference(reference, samples, frames, bins):
    wave = sound(samples)
    features = FilterBanks(frames, bins)(wave)
    assert features.shape == (frames, bins)
    assert features.dtype == torch.float32
    np.testing.assert_allclose(features.numpy(), reference(wave, frames, bins), atol=1e-4, rtol=0)


def test_features_are_torchaudios():
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi")
    wave = torch.from_numpy(sound(32000))[None]
    theirs = kaldi.fbank(
        wave - wave.mean(), htk_compat=True, window_type="hanning", num_mel_bins=128, dither=0.0, frame_shift=10
    )
    torch.testing.assert_close(FilterBanks(len(theirs))(wave[0].numpy()), theirs, atol=1e-3, rtol=0)


@pytest.mark.data
def test_features_of_real_clips_are_those_of_transformers(data_dir):
    files = sorted((data_dir / "esc50" / "audio").iterdir())[::73]
    assert len(files) >= 10
    for file in files:
        clip = decode(file).audio
        np.testing.assert_allclose(FilterBanks()(clip).numpy(), transformers(clip, 512, 128), atol=1e-3, rtol=0)


@settings(deadline=None, max_examples=30)
@given(st.integers(400, 4000), st.integers(1, 20), st.floats(-0.5, 0.5))
def test_cut_padded_and_blind_to_a_constant(samples, frames, constant):
    wave = sound(samples)
    features = FilterBanks(frames, 16)(wave)
    whole = 1 + (samples - 400) // 160
    longer = FilterBanks(40, 16)(wave)
    assert torch.equal(features[:whole], longer[: min(whole, frames)])
    assert not features[whole:].any()
    assert bool(features[:whole].all())
    shifted = FilterBanks(frames, 16)((wave.astype(np.float64) + constant).astype(np.float32))
    torch.testing.assert_close(shifted, features, atol=1e-2, rtol=0)


def test_silence_is_finite():
    assert FilterBanks(4, 8)(np.zeros(1000, np.float32))[:4].unique().tolist() == pytest.approx([-15.942385])


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros(399, np.float32), r"399 samples: expected at least 400, which is 25 ms"),
        (np.zeros(0, np.float32), r"0 samples"),
        (np.zeros(4000), r"is float64 \(4000,\): expected float32 \(samples,\)"),
        (np.zeros((2, 4000), np.float32), r"is float32 \(2, 4000\)"),
    ],
    ids=["short", "empty", "double", "stereo"],
)
def test_other_waveforms_are_refused(waveform, message):
    with pytest.raises(DataError, match=message):
        FilterBanks()(waveform)
