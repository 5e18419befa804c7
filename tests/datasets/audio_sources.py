"""Writes small data sets of sounds in the forms in which the real ones come."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}


def sounds(number: int, samples: int = 800, seed: int = 0) -> np.ndarray:
    """Noise, int16 (number, samples); no two are equal."""
    return np.random.default_rng(seed).integers(-9000, 9000, (number, samples), dtype=np.int16)


def floats(sound: np.ndarray) -> np.ndarray:
    """What a sound that is stored without loss at 16 kHz is read as."""
    return (sound / 32768).astype(np.float32)


def encoded(sound: np.ndarray, suffix: str = ".wav", rate: int = 16000) -> bytes:
    """The content of a file."""
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format=FORMATS[suffix])
    return file.getvalue()


def write_sound(path: Path, sound: np.ndarray, rate: int = 16000) -> None:
    """A file in the format of its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(sound, path.suffix, rate))


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """A metadata file, such as esc50.csv."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def write_parquet(path: Path, rows: Sequence[Mapping[str, object]], recordings: Sequence[bytes]) -> None:
    """A table as the hub has it, with a column of encoded audio."""
    from datasets import Audio, Dataset

    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    cells = [{"bytes": recording, "path": row["filename"]} for row, recording in zip(rows, recordings, strict=True)]
    table = Dataset.from_dict({**columns, "audio": cells}).cast_column("audio", Audio())  # cast: nothing is encoded
    table.to_parquet(str(path))
