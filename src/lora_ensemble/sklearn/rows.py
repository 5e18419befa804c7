"""What is given as X, as the examples that a backbone reads: texts, pairs, images, sounds, or rows of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from lora_ensemble.contracts import Example
from lora_ensemble.errors import DataError, UnknownNameError

Modality: TypeAlias = Literal["features", "text", "image", "audio"]
FEATURES: Modality = "features"
"""Rows of numbers: a matrix, or an array of any shape where the network is a module."""


def known_modality(name: str) -> str:
    """Raises UnknownNameError for another than auto and those of `Modality`."""
    if name not in ("auto", *get_args(Modality)):
        raise UnknownNameError("modality", name, ["auto", *get_args(Modality)])
    return name


def guessed_modality(X: Any) -> str:
    """Of strings "text", of images as arrays or Pillow's "image", of anything else "features"."""
    first = _first(X)
    if isinstance(first, str) or (isinstance(first, Sequence) and first and isinstance(first[0], str)):
        return "text"
    if isinstance(first, np.ndarray) and first.ndim and isinstance(first.flat[0] if first.size else None, str):
        return "text"
    if _is_pillow(first):
        return "image"
    if isinstance(first, np.ndarray) and first.dtype == np.uint8 and first.ndim in (2, 3):
        return "image"
    return FEATURES


def examples_of(X: Any, modality: str) -> Sequence[Example]:
    """Raises DataError for what is none of the modality's."""
    if modality == FEATURES:
        return [{"row": row} for row in np.asarray(X)]
    rows = _listed(X)
    if not len(rows):
        raise DataError("X has no rows: at least one is expected")
    return {"text": _texts, "image": _images, "audio": _sounds}[modality](rows)


def _texts(rows: list[Any]) -> Sequence[Example]:
    examples = []
    for number, row in enumerate(rows):
        parts = [row] if isinstance(row, str) else list(row) if isinstance(row, Sequence | np.ndarray) else []
        if len(parts) not in (1, 2) or not all(isinstance(part, str) and part.strip() for part in parts):
            raise DataError(f"X[{number}] = {row!r:.60}: expected a text, or a pair of texts")
        examples.append(dict(zip(("text", "text_pair"), map(str, parts), strict=False)))
    return examples


def _images(rows: list[Any]) -> Sequence[Example]:
    """Arrays, Pillow's images, or files."""
    from lora_ensemble.images.decoding import looked_at

    if all(isinstance(row, str | Path) for row in rows):
        return looked_at([Path(row) for row in rows], [str(row) for row in rows], "X", quiet=True)[0]
    examples = []
    for number, row in enumerate(rows):
        pixels = np.asarray(row.convert("RGB")) if _is_pillow(row) else np.asarray(row)
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
            raise DataError(
                f"X[{number}] is {pixels.dtype} {pixels.shape}: an image is uint8, 0 to 255, (H, W) or (H, W, 3)"
            )
        examples.append({"image": pixels})
    return examples


def _sounds(rows: list[Any]) -> Sequence[Example]:
    """Samples at 16 kHz, or files."""
    from lora_ensemble.audio.clips import looked_at

    if all(isinstance(row, str | Path) for row in rows):
        return looked_at([Path(row) for row in rows], [str(row) for row in rows], "X", quiet=True)[0]
    examples = []
    for number, row in enumerate(rows):
        samples = np.asarray(row)
        if samples.dtype.kind != "f" or samples.ndim != 1:
            raise DataError(f"X[{number}] is {samples.dtype} {samples.shape}: a sound is floats (samples,) at 16 kHz")
        examples.append({"audio": samples.astype(np.float32)})
    return examples


def _first(X: Any) -> Any:
    from scipy.sparse import issparse

    rows = X.iloc if hasattr(X, "iloc") else X
    if issparse(X):
        return None
    try:
        first = rows[0]
    except (TypeError, IndexError, KeyError, ValueError):  # empty, or a scalar: scikit-learn says what is wrong
        return None
    return first.to_numpy() if hasattr(first, "to_numpy") else first


def _listed(X: Any) -> list[Any]:
    if isinstance(X, str | bytes | Path):
        raise DataError(f"X = {str(X)!r:.60}: expected a list of rows; for one, a list of it")
    return list(X.to_numpy() if hasattr(X, "to_numpy") else X)


def _is_pillow(value: Any) -> bool:
    return hasattr(value, "convert") and hasattr(value, "getbands")
