"""Images of a data set: all decoded once, to see that they can be, and kept where they fit in memory."""

from __future__ import annotations

import io
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lora_ensemble.contracts import Example
from lora_ensemble.errors import DataError, UserError, first_line
from lora_ensemble.images.depth import in_eight_bits
from lora_ensemble.sources.labels import some_of
from lora_ensemble.sources.rows import EncodedImages

if TYPE_CHECKING:
    import numpy as np

IN_MEMORY = 2 << 30
"""Most bytes of decoded images that are kept; of a larger data set, each image is decoded whenever it is asked for."""

LARGEST = 80_000_000
"""Most pixels of an image. More is taken for a decompression bomb, and refused before it is decoded."""

_TOGETHER = 16  # images per task of a thread


class Images(Sequence[Example]):
    """Examples {"image": uint8 (H, W, 3)} of images that are stored as pixels, encoded (bytes), or in files (paths)."""

    def __init__(self, stored: Sequence[Any], size: tuple[int, int] | None = None):
        self.stored, self.size = stored, size

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        try:
            image = self.stored[row]
            raw = image is None or isinstance(image, bytes | Path)
            return {"image": _decoded(image, self.size).pixels if raw else image}
        except OSError as error:
            raise DataError(f"an image that could be read before cannot be read now: {error}") from error

    def take(self, rows: Iterable[int]) -> Images:
        """Those of the given rows."""
        return Images(some(self.stored, rows), self.size)


def some(stored: Sequence[Any], rows: Iterable[int]) -> Sequence[Any]:
    """The images of the given rows, still as they are stored."""
    return stored.take(rows) if isinstance(stored, EncodedImages) else [stored[row] for row in rows]


def checked(
    stored: Sequence[Any], names: Sequence[str], about: str, size: tuple[int, int] | None = None, threads: int = 8
) -> Images:
    """The images of a data set (`about`), after a look at each of them.

    names: of the images, for messages. size: height and width, where all are to have the same. An image of another size
    or mode is converted, which is warned of once. Raises DataError that counts the missing and unreadable images, and
    lists the first.
    """
    return looked_at(stored, names, about, size, threads)[0]


def looked_at(
    stored: Sequence[Any],
    names: Sequence[str],
    about: str,
    size: tuple[int, int] | None = None,
    threads: int = 8,
    skip: bool = False,
    quiet: bool = False,
) -> tuple[Images, list[int]]:
    """`checked`, and the numbers of the images; skip: without those that cannot be used, which a warning counts;
    quiet: without a word on what was converted."""
    require_pillow(about)
    problems, kept, good, room = [], [], [], IN_MEMORY
    modes: Counter[str] = Counter()
    sizes: Counter[tuple[int, int]] = Counter()
    for row, (name, image) in enumerate(zip(names, _looks(stored, size, threads), strict=True)):
        if isinstance(image, str):
            problems.append(f"{name} {image}")
            continue
        good.append(row)
        modes[image.mode] += 1
        sizes[image.size] += 1
        room -= image.pixels.nbytes
        if room >= 0:
            kept.append(image.pixels)
    if problems:
        said = f"{len(problems)} of {len(stored)} images of {about} cannot be used: {some_of(problems)}"
        if not skip or not good:
            raise DataError(said)
        warnings.warn(f"{said}; left out", stacklevel=2)
    if not quiet:
        _say(about, modes, sizes, size)
    return Images(kept if room >= 0 else some(stored, good), size), good


def require_pillow(about: str) -> None:
    """Raises UserError, naming the data set (`about`), where Pillow is not installed."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise UserError(f"{about} needs Pillow: pip install 'lora-ensemble[vision]'") from error


class _Decoded(NamedTuple):
    pixels: np.ndarray
    mode: str
    """Pillow's name of the mode in which it is stored."""
    size: tuple[int, int]
    """Height and width in which it is stored."""


def _decoded(stored: bytes | Path | None, size: tuple[int, int] | None) -> _Decoded:
    import numpy as np
    from PIL import Image

    if stored is None:
        raise DataError("the cell holds neither bytes nor a path")
    with Image.open(io.BytesIO(stored) if isinstance(stored, bytes) else stored) as file:
        if file.width * file.height > LARGEST:
            raise DataError(f"{file.width} x {file.height} pixels, at most {LARGEST} are decoded")
        image = in_eight_bits(file).convert("RGB")
        if size is not None and image.size != size[::-1]:
            image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        return _Decoded(np.asarray(image), file.mode, (file.height, file.width))


@contextmanager
def no_bomb_warnings() -> Iterator[None]:
    """Pillow warns of images that are refused here anyway."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _looks(stored: Sequence[Any], size: tuple[int, int] | None, threads: int) -> Iterator[_Decoded | str]:
    """Each image, or what is wrong with it; Pillow decodes in several threads at once."""

    def look(row: int) -> _Decoded | str:
        try:
            return _decoded(stored[row], size)
        except FileNotFoundError:
            return "is missing"
        except Exception as error:  # a damaged file can raise anything
            return f"cannot be read ({first_line(error)})"

    starts = range(0, len(stored), _TOGETHER)
    with ThreadPoolExecutor(min(threads, os.cpu_count() or 1)) as pool, no_bomb_warnings():
        for looks in pool.map(lambda start: [look(r) for r in range(len(stored))[start : start + _TOGETHER]], starts):
            yield from looks


def _say(about: str, modes: Counter[str], sizes: Counter[tuple[int, int]], size: tuple[int, int] | None) -> None:
    said = []
    if odd := [f"{mode} ({n})" for mode, n in modes.most_common() if mode != "RGB"]:
        said.append(f"converted to RGB from {', '.join(odd)}")
    if size is not None and (odd := [_sized(s, n) for s, n in sizes.most_common() if s != size]):
        said.append(f"resized to {size[0]} x {size[1]} from {', '.join(odd)}")
    if size is None and len(sizes) > 1:
        said.append(f"differ in height and width: {', '.join(_sized(s, n) for s, n in sizes.most_common())}")
    if said:
        warnings.warn(f"images of {about}: {'; '.join(said)}", stacklevel=3)


def _sized(size: tuple[int, int], number: int) -> str:
    return f"{size[0]} x {size[1]} ({number})"
