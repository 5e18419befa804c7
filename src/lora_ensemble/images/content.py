"""Small images without names: known by their pixels, which are the same in every form of a data set."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lora_ensemble.images.decoding import Images, checked
from lora_ensemble.sources.rows import column, encoded, hub_rows

if TYPE_CHECKING:
    import numpy as np

SIZE = (32, 32)
"""Height and width of all images here."""


class Named(NamedTuple):
    """Images in the order of their names."""

    images: Images
    labels: np.ndarray | None
    """(N,) int64, or None."""
    names: list[str]
    """Digest of the pixels; the second of two copies ends in -2, and so on."""
    digests: list[str]
    """Equal for copies."""


def by_content(images: Sequence[np.ndarray], labels: Sequence[int] | None) -> Named:
    """Name images, uint8 (H, W, 3) in any order, and put them in order; copies of an image in that of their labels."""
    import numpy as np

    digests = [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).hexdigest() for image in images]
    rows = sorted(range(len(images)), key=lambda row: (digests[row], 0 if labels is None else labels[row]))
    copies: Counter[str] = Counter()
    names = []
    for row in rows:
        copies[digests[row]] += 1
        names.append(digests[row] if copies[digests[row]] == 1 else f"{digests[row]}-{copies[digests[row]]}")
    return Named(
        Images(images).take(rows),
        None if labels is None else np.asarray(labels, dtype=np.int64)[rows],
        names,
        [digests[row] for row in rows],
    )


def from_hub(
    data: str, split: str, about: str, label: str, config: str | None = None
) -> tuple[Sequence[np.ndarray], list[Any] | None]:
    """Images, 32 x 32, and the labels of a split as they are; None where there are none. Raises DataError for data that
    are missing or unreadable."""
    rows = hub_rows(data, split, config)
    cells = rows[column(rows, data, ("img", "image"))][:]
    labels = rows[label][:] if label in rows.column_names else None
    images = _pixels(tuple(encoded(cell) for cell in cells), split, about)
    return images, None if labels is None or None in labels else labels


@lru_cache(maxsize=2)  # a training and a test split, on which one process may train several ensembles
def _pixels(stored: tuple[bytes | Path | None, ...], split: str, about: str) -> list[np.ndarray]:
    names = [f"row {row} of {split}" for row in range(len(stored))]
    # So small that threads would only wait for each other.
    return [example["image"] for example in checked(stored, names, about, SIZE, threads=1)]
