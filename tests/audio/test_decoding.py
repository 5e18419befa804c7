"""Every format, rate and number of channels gives the same sound; damage is said, never heard."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lora_ensemble.audio.decoding import SUFFIXES, decode, resampled
from lora_ensemble.errors import DataError

FORMATS = {
    ".wav": ("WAV", "PCM_16", 1e-3),
    ".flac": ("FLAC", "PCM_16", 1e-3),
    ".ogg": ("OGG", "VORBIS", 0.05),
    ".mp3": ("MP3", None, 0.1),
    ".aiff": ("AIFF", "PCM_24", 1e-3),
    ".au": ("AU", "FLOAT", 1e-3),
}
"""Format and subtype as soundfile names them, and what the coding may change."""


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0, channels: int = 1) -> np.ndarray:
    """(samples, channels); the channels differ, their mean is the tone."""
    times = np.arange(round(rate * seconds)) / rate
    wave = 0.4 * np.sin(2 * np.pi * hertz * times)
    tilt = np.linspace(-0.5, 0.5, channels) if channels > 1 else np.zeros(1)
    return (wave[:, None] * (1 + tilt)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int, suffix: str = ".wav") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=FORMATS[suffix][0], subtype=FORMATS[suffix][1])
    return file.getvalue()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2), (8000, 1), (48000, 2)])
def test_the_same_tone_from_every_format_and_rate(tmp_path, suffix, rate, channels):
    assert suffix in SUFFIXES
    stored = encoded(tone(rate, channels=channels), rate, suffix)
    (tmp_path / f"tone{suffix}").write_bytes(stored)
    for source in (stored, tmp_path / f"tone{suffix}"):
        audio, stored_at = decode(source)
        assert stored_at == rate
        assert audio.dtype == np.float32
        assert len(audio) == pytest.approx(16000, abs=16000 * 0.01)
        inside = slice(1000, 15000)  # where neither coding nor resampling sees an end
        np.testing.assert_allclose(audio[inside], tone(16000)[inside, 0], atol=FORMATS[suffix][2], rtol=0)


@pytest.mark.parametrize("rate", [11025, 22050, 44100, 48000, 96000])
def test_the_length_in_seconds_stays(rate):
    assert len(decode(encoded(tone(rate, 5.0), rate)).audio) == pytest.approx(80000, abs=1)


def test_what_16_khz_cannot_hold_is_gone_and_not_folded_down():
    audio = resampled(tone(44100, hertz=11000)[:, 0], 44100)
    assert np.abs(audio[1000:-1000]).max() < 1e-3


def test_audio_at_16_khz_stays_as_it_is():
    wave = tone(16000)[:, 0]
    np.testing.assert_array_equal(resampled(wave, 16000), wave)
    samples = (wave * 32768).round().astype(np.int16)
    np.testing.assert_array_equal(decode(encoded(samples, 16000)).audio, (samples / 32768).astype(np.float32))


def test_a_wav_file_from_a_pipe_does_not_know_its_length_and_is_whole():
    stored = encoded(tone(16000, 80.0), 16000)
    place = stored.index(b"data") + 4
    assert len(decode(stored[:place] + b"\xff" * 4 + stored[place + 4 :]).audio) == 80 * 16000


def claiming(samples: int, stored: bytes) -> bytes:
    """A FLAC file with another number of samples in its header."""
    word = int.from_bytes(stored[18:26], "big") >> 36 << 36 | samples
    return stored[:18] + word.to_bytes(8, "big") + stored[26:]


WHOLE = {suffix: encoded(tone(16000), 16000, suffix) for suffix in (".wav", ".flac", ".ogg")}
NOT_FINITE = io.BytesIO()
soundfile.write(NOT_FINITE, np.array([0.0, np.nan] * 400, np.float32), 16000, format="WAV", subtype="FLOAT")


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (b"", "cannot be read"),
        (b"no sound at all" * 100, "cannot be read"),
        (WHOLE[".wav"][:20], "cannot be read"),
        (WHOLE[".wav"][:-5000], "is damaged or cut off: it says it is longer than the 13500 samples it has"),
        (WHOLE[".flac"][: len(WHOLE[".flac"]) // 2], "cannot be read|is damaged or cut off"),
        (WHOLE[".ogg"][:2500] + bytes(1000) + WHOLE[".ogg"][3500:], "cannot be read|is damaged or cut off"),
        (claiming(2**36 - 1, WHOLE[".flac"]), "cannot be read|is damaged or cut off"),
        (encoded(tone(16000)[:0], 16000), "has no samples"),
        (encoded(tone(16000)[:100], 16000), r"is too short \(6.25 ms, expected at least 25\)"),
        (NOT_FINITE.getvalue(), "has samples that are not finite"),
    ],
    ids=[
        "empty file",
        "no audio",
        "header",
        "cut wav",
        "cut flac",
        "holed ogg",
        "huge flac",
        "no samples",
        "short",
        "nan",
    ],
)
def test_what_is_wrong_is_said_in_a_few_words(stored, message):
    with pytest.raises(DataError, match=f"^({message})") as caught:
        decode(stored)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        decode(Path("nowhere.wav"))
