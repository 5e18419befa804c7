"""Writes small data sets of images in the forms in which the real ones come."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def pictures(number: int, seed: int = 0, shape: tuple[int, int] = (32, 32)) -> np.ndarray:
    """Noise, uint8 (number, *shape, 3); no two are equal."""
    return np.random.default_rng(seed).integers(0, 256, (number, *shape, 3), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    """Encoded without loss."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_parquet(path: Path, images: Sequence[np.ndarray | bytes], column: str, **columns: Sequence) -> None:
    """A table as the hub has it."""
    from datasets import Dataset, Features, Value
    from datasets import Image as ImageFeature

    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": image if isinstance(image, bytes) else png(image), "path": None} for image in images]
    kinds = {name: Value("string" if isinstance(values[0], str) else "int64") for name, values in columns.items()}
    features = Features({column: ImageFeature(), **kinds})
    Dataset.from_dict({column: cells, **columns}, features=features).to_parquet(str(path))


def write_pickle(path: Path, images: np.ndarray, labels: Sequence[int], key: str, protocol: int = 2) -> None:
    """A file of CIFAR's python version: rows of 3,072 values, red first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)
    values = {b"data": rows, key.encode(): [int(label) for label in labels], b"batch_label": b"some"}
    path.write_bytes(pickle.dumps(values, protocol))


def write_metadata(path: Path, rows: Sequence[Mapping[str, str]], delimiter: str = ",") -> None:
    """HAM10000_metadata.csv."""
    lines = [delimiter.join(rows[0]), *(delimiter.join(row.values()) for row in rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
