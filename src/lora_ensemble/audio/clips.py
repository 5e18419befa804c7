"""Recordings of a data set: all decoded once, to see that they can be, and kept where they fit in memory."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.audio.decoding import RATE, Recording, decode, require_decoders
from lora_ensemble.contracts import Example
from lora_ensemble.errors import DataError
from lora_ensemble.sources.labels import some_of
from lora_ensemble.sources.rows import EncodedImages

if TYPE_CHECKING:
    import numpy as np

IN_MEMORY = 1 << 30
"""Most bytes of decoded audio that are kept; of a larger data set, each clip is decoded whenever it is asked for."""


class Clips(Sequence[Example]):
    """Examples {"audio": float32 (samples,), 16 kHz} of clips that are stored as samples, encoded (bytes), or in files
    (paths)."""

    def __init__(self, stored: Sequence[np.ndarray | bytes | Path]):
        self.stored = stored

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        try:
            clip = self.stored[row]
            return {"audio": decode(clip).audio if clip is None or isinstance(clip, bytes | Path) else clip}
        except (OSError, DataError) as error:
            raise DataError(f"a clip that could be read before cannot be read now: {error}") from error

    def take(self, rows: Iterable[int]) -> Clips:
        """Those of the given rows."""
        return Clips(some(self.stored, rows))


def some(stored: Sequence[Any], rows: Iterable[int]) -> Sequence[Any]:
    """The clips of the given rows, still as they are stored."""
    return stored.take(rows) if isinstance(stored, EncodedImages) else [stored[row] for row in rows]


def checked(stored: Sequence[Any], names: Sequence[str], about: str) -> Clips:
    """The clips of a data set (`about`), after each was decoded once.

    names: of the clips, for messages. Clips that are silent or were stored at less than 16 kHz are used, and warned of
    once. Raises DataError that counts the clips that are missing, damaged, empty or too short, and lists the first.
    """
    return looked_at(stored, names, about)[0]


def looked_at(
    stored: Sequence[Any], names: Sequence[str], about: str, skip: bool = False, quiet: bool = False
) -> tuple[Clips, list[int]]:
    """`checked`, and the numbers of the clips; skip: without those that cannot be used, which a warning counts;
    quiet: without a word on what was converted."""
    require_decoders(about)
    problems, silent, kept, good, room = [], [], [], [], IN_MEMORY
    low: Counter[int] = Counter()
    for row, (name, clip) in enumerate(zip(names, _looks(stored), strict=True)):
        if isinstance(clip, str):
            problems.append(f"{name} {clip}")
            continue
        good.append(row)
        if clip.audio.min() == clip.audio.max():
            silent.append(name)
        if clip.rate < RATE:
            low[clip.rate] += 1
        room -= clip.audio.nbytes
        if room >= 0:
            kept.append(clip.audio)
    if problems:
        said = f"{len(problems)} of {len(stored)} clips of {about} cannot be used: {some_of(problems)}"
        if not skip or not good:
            raise DataError(said)
        warnings.warn(f"{said}; left out", stacklevel=2)
    if not quiet:
        _say(about, silent, low)
    return Clips(kept if room >= 0 else some(stored, good)), good


def _looks(stored: Sequence[Any]) -> Iterator[Recording | str]:
    """Each recording, or what is wrong with it; they are decoded in several threads at once."""

    def look(row: int) -> Recording | str:
        try:
            return decode(stored[row])
        except FileNotFoundError:
            return "is missing"
        except (OSError, DataError) as error:
            return str(error)

    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(stored), 16 * threads):  # no more than so many decoded clips wait
            yield from pool.map(look, range(len(stored))[start : start + 16 * threads])


def _say(about: str, silent: Sequence[str], low: Counter[int]) -> None:
    said = []
    if silent:
        said.append(f"without any sound: {', '.join(silent)}")
    if low:
        rates = ", ".join(f"{rate} Hz ({n})" for rate, n in sorted(low.items()))
        said.append(f"stored at a lower rate than {RATE} Hz: {rates}")
    if said:
        warnings.warn(f"clips of {about}: {'; '.join(said)}", stacklevel=3)
