"""Clips are decoded before they are used: all problems are listed, what is odd is said once."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from audio_sources import encoded, floats, sounds

from lora_ensemble.audio import clips as _clips
from lora_ensemble.audio.clips import checked
from lora_ensemble.errors import DataError


@pytest.mark.parametrize("room", [1 << 30, 0], ids=["kept", "decoded when asked for"])
def test_samples_are_those_that_were_stored(tmp_path, monkeypatch, room):
    monkeypatch.setattr(_clips, "IN_MEMORY", room)
    clips = sounds(300)
    files = [tmp_path / f"{i}.flac" for i in range(300)]
    for file, clip in zip(files, clips, strict=True):
        file.write_bytes(encoded(clip, ".flac"))
    for stored in (files, [encoded(clip) for clip in clips]):
        read = checked(stored, [str(i) for i in range(300)], "sounds")
        np.testing.assert_array_equal([example["audio"] for example in read], floats(clips))
        np.testing.assert_array_equal([example["audio"] for example in read.take([3, 299])[1:]], floats(clips[299:]))
        assert isinstance(read.stored[0], np.ndarray) == (room > 0)


def test_a_clip_that_goes_missing_later_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(_clips, "IN_MEMORY", 0)
    file = tmp_path / "clip.wav"
    file.write_bytes(encoded(sounds(1)[0]))
    clips = checked([file], ["clip"], "sounds")
    file.unlink()
    with pytest.raises(DataError, match=r"could be read before cannot be read now: .*clip\.wav"):
        clips[0]


def test_every_clip_that_cannot_be_used_is_listed(tmp_path):
    stored = [tmp_path / f"{i}.wav" for i in range(200)]
    for file, clip in zip(stored, sounds(200), strict=True):
        file.write_bytes(encoded(clip))
    stored[150].unlink()
    stored[3].write_bytes(stored[3].read_bytes()[:-30])
    stored[7].write_bytes(encoded(sounds(1)[0][:0]))
    stored[8].write_bytes(encoded(sounds(1)[0][:80]))
    stored[199].write_bytes(b"no sound")
    with pytest.raises(DataError) as caught:
        checked(stored, [f"clip {i}" for i in range(200)], "sounds")
    message = str(caught.value)
    assert message.startswith("5 of 200 clips of sounds cannot be used: clip 3 is damaged or cut off")
    for words in ("clip 7 has no samples", "clip 8 is too short (5 ms", "clip 150 is missing", "clip 199 cannot be"):
        assert words in message
    assert "\n" not in message


def test_silence_and_low_rates_are_used_and_said_once():
    clip = sounds(1)[0]
    stored = [
        encoded(clip),
        encoded(clip * 0),
        encoded(clip, rate=8000),
        encoded(clip * 0 + 5),
        encoded(clip, rate=8000),
    ]
    with pytest.warns(UserWarning, match="clips of sounds") as said:
        clips = checked(stored, list("abcde"), "sounds")
    (message,) = (str(warning.message) for warning in said)
    assert message == ("clips of sounds: without any sound: b, d; stored at a lower rate than 16000 Hz: 8000 Hz (2)")
    assert [len(clip["audio"]) for clip in clips] == [800, 800, 1600, 800, 1600]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checked([encoded(clip), encoded(np.stack([clip, clip], 1), rate=22050)], ["a", "b"], "sounds")
