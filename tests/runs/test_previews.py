"""Samples as they are shown in a report: of every modality, small, and the sample itself."""

from __future__ import annotations

import base64
import io
import wave

import numpy as np
import pytest
from PIL import Image

from lora_ensemble.datasets.digits import Digits
from lora_ensemble.studies.previews import LETTERS, SIDE, preview, previews_of


def content(uri: str, kind: str) -> bytes:
    head, _, body = uri.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(body)


@pytest.mark.parametrize("shape", [(8, 8), (1, 1, 3), (104, 60, 1), (20, 50, 3)])
def test_a_small_picture_is_enlarged_by_whole_steps(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    shown = np.asarray(Image.open(io.BytesIO(content(preview({"image": pixels}).image, "image/png"))))
    step = SIDE // max(shape[:2])
    assert (shown[::step, ::step] == pixels.reshape(shown[::step, ::step].shape)).all()


def test_a_large_picture_is_made_small() -> None:
    pixels = np.zeros((300, 600, 3), np.uint8)
    image = Image.open(io.BytesIO(content(preview({"image": pixels}).image, "image/jpeg")))
    assert image.size == (SIDE, SIDE // 2)


def test_a_sound_is_heard_and_seen() -> None:
    time = np.arange(16_000 * 7) / 16_000
    made = preview({"audio": (0.1 * np.sin(2 * np.pi * 4000 * time)).astype(np.float32)})
    with wave.open(io.BytesIO(content(made.audio, "audio/wav"))) as file:
        assert (file.getframerate(), file.getnframes()) == (16_000, 5 * 16_000)
        heard = np.frombuffer(file.readframes(16_000), "<i2")
    assert abs(np.abs(heard).max() - 32767) < 10
    spectrum = np.asarray(Image.open(io.BytesIO(content(made.image, "image/jpeg"))), float).mean(1)
    assert abs(spectrum.argmax() / len(spectrum) - 0.5) < 0.02  # 4 kHz of 8


@pytest.mark.parametrize("samples", [0, 1, 100])
def test_a_sound_of_almost_nothing(samples: int) -> None:
    assert preview({"audio": np.zeros(samples, np.float32)}).audio


def test_texts_and_questions() -> None:
    assert preview({"text": "a" * 1000}).text == "a" * (LETTERS - 1) + "…"
    assert preview({"question": "Why?", "choices": ["so", "else"]}).text == "Why?\nA  so\nB  else"
    assert preview({"text": "one", "text_pair": "two"}).text == "one\ntwo"


def test_samples_are_found_by_their_ids() -> None:
    split = Digits().load("test")
    name = split.ids[3]
    found = previews_of(Digits(), "test")([name, "not there"])
    assert list(found) == [name]
    assert found[name] == preview(split.examples[3])
