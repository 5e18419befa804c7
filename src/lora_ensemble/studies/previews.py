"""What single samples look, sound or read like, small enough for a report: pictures, spectrograms, texts."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lora_ensemble.contracts import Dataset

if TYPE_CHECKING:
    from lora_ensemble.report.examples import Preview, Previews

SIDE = 208
"""Pixels of the longer side of a picture; smaller ones are enlarged by whole steps."""
SECONDS = 5
"""Of a sound, its beginning."""
RATE = 16_000
"""Samples of a second of sound, as everywhere here."""
LETTERS = 600
"""Of a text, its beginning."""


def previews_of(dataset: Dataset, split: str) -> Previews:
    """Looks samples of a split up by their ids; what is not there has no preview."""

    def look_up(ids: Sequence[str]) -> Mapping[str, Preview]:
        loaded = dataset.load(split)
        at = {name: row for row, name in enumerate(loaded.ids)}
        return {name: preview(loaded.examples[at[name]]) for name in ids if name in at}

    return look_up


def preview(example: Mapping[str, Any]) -> Preview:
    """Of one raw example, as `contracts.Split` describes them."""
    from lora_ensemble.report.examples import Preview

    if "image" in example:
        return Preview(image=_picture(np.asarray(example["image"])))
    if "audio" in example:
        sound = np.asarray(example["audio"], np.float32)[: SECONDS * RATE]
        return Preview(image=_picture(_spectrogram(sound)), audio=_sound(sound))
    if "question" in example:
        letters = (f"{chr(65 + k)}  {choice}" for k, choice in enumerate(example.get("choices", ())))
        return Preview(text=_shortened("\n".join([str(example["question"]), *letters])))
    return Preview(text=_shortened("\n".join(str(value) for value in example.values())))


def _shortened(text: str) -> str:
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"


def _picture(pixels: np.ndarray) -> str:
    """(H, W), (H, W, 1) or (H, W, 3) uint8 as a data URI."""
    from PIL import Image

    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[2:] == (1,) else pixels)
    longer = max(image.size)
    if 2 * longer <= SIDE:
        step = SIDE // longer
        image = image.resize((image.width * step, image.height * step), Image.Resampling.NEAREST)
    image.thumbnail((SIDE, SIDE))
    kind = "PNG" if 2 * longer <= SIDE else "JPEG"
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"optimize": True} if kind == "PNG" else {"quality": 80}))
    return _uri(f"image/{kind.lower()}", buffer.getvalue())


def _spectrogram(sound: np.ndarray) -> np.ndarray:
    """(256, T) uint8: power in decibels over the last 80 of them, low frequencies at the bottom."""
    window, hop = 512, max(256, len(sound) // 400)
    padded = np.pad(sound, (0, max(0, window - len(sound))))
    frames_TW = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * np.hanning(window)
    power_TF = np.abs(np.fft.rfft(frames_TW, axis=1)[:, 1:]) ** 2
    decibels_TF = 10 * np.log10(power_TF / max(power_TF.max(), 1e-20) + 1e-8)
    return np.flipud((255 * (1 + decibels_TF / 80)).clip(0, 255).astype(np.uint8).T)


def _sound(sound: np.ndarray) -> str:
    """As a data URI of a WAV file, as loud as it goes without distortion."""
    loud = sound / max(float(np.abs(sound).max(initial=0)), 1e-6)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((32767 * loud).astype("<i2").tobytes())
    return _uri("audio/wav", buffer.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
