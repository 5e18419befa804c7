"""CIFAR's python pickles, read without running anything that a pickle can ask for."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, BinaryIO

from lora_ensemble.errors import DataError


def read_pickle(path: Path) -> dict[str, Any]:
    """A dict of numbers, texts, bytes, lists and arrays of whole numbers; its keys as text.

    Raises DataError for a pickle that names any other class or function (which reading it would run), that asks for
    more memory than its own size explains, or that is damaged.
    """
    try:
        content = path.read_bytes()
        _weigh(content)
        reader = _Reader(io.BytesIO(content), path, len(content))
        values = reader.plain(reader.load(), {})
    except DataError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"{path} is no readable pickle: {type(error).__name__}: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} holds a {type(values).__name__}: expected a dict")
    return values


def _weigh(content: bytes) -> None:
    """Go through the opcodes without doing what they say. Raises ValueError for a length beyond the end of the file and
    for a memo of more places than the file has bytes, both of which the reader would make room for."""
    for opcode, argument, _ in pickletools.genops(content) if content else ():
        if "PUT" in opcode.name and isinstance(argument, int) and argument > len(content):
            raise pickle.UnpicklingError(f"it asks for {argument} places of memory, from {len(content)} bytes")


class _Reader(pickle.Unpickler):
    """Builds nothing of NumPy while it reads, only stand-ins, which hold what the pickle says of an array. They are
    made anew for each file, since a pickle can set their attributes."""

    def __init__(self, file: BinaryIO, path: Path, size: int):
        super().__init__(file, encoding="bytes")  # CIFAR's were written by Python 2
        self.path = path
        room = 4 * size

        class DType:
            def __init__(self, code: Any, *_: Any):
                self.code, self.order = code, "="

            def __setstate__(self, state: tuple[Any, ...]) -> None:
                self.order = state[1]

        class Array:
            def __setstate__(self, state: tuple[Any, ...]) -> None:
                _, self.shape, self.dtype, self.fortran, self.data = state

        def reconstruct(*_: Any) -> Array:
            return Array()

        def from_buffer(data: Any, dtype: DType, shape: tuple[Any, ...], order: str) -> Array:
            array = Array()
            array.__setstate__((1, shape, dtype, order == "F", data))
            return array

        def encode(text: str, encoding: str) -> bytes:  # how Python 3 writes bytes for Python 2
            if encoding != "latin1":
                raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
            nonlocal room
            room -= len(text)  # the same text may be encoded any number of times
            if room < 0:
                raise pickle.UnpicklingError("it asks for several times its own size")
            return text.encode("latin1")

        self.array = Array
        self.known = {("numpy", "ndarray"): Array, ("numpy", "dtype"): DType, ("_codecs", "encode"): encode}
        for core in ("numpy.core", "numpy._core"):
            self.known[f"{core}.multiarray", "_reconstruct"] = reconstruct
            self.known[f"{core}.numeric", "_frombuffer"] = from_buffer

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.known:
            raise DataError(
                f"{self.path} is refused: reading it would run {module}.{name}; expected only arrays, texts, numbers, "
                "lists and dicts"
            )
        return self.known[module, name]

    def plain(self, value: Any, done: dict[int, Any]) -> Any:
        """Stand-ins as arrays, keys as text. done: lists and dicts by their identity, so that one which is met a
        thousand times is made once."""
        if not isinstance(value, dict | list):
            return _array(value) if isinstance(value, self.array) else value
        if id(value) not in done:
            done[id(value)] = None  # also ends what contains itself
            if isinstance(value, dict):
                done[id(value)] = {_text(key): self.plain(item, done) for key, item in value.items()}
            else:
                done[id(value)] = [self.plain(item, done) for item in value]
        return done[id(value)]


def _array(stand_in: Any) -> Any:
    import numpy as np

    kind = _text(stand_in.dtype.order) + _text(stand_in.dtype.code)
    if not re.fullmatch(r"[|<>=][iu][1248]", kind):
        raise pickle.UnpicklingError(f"an array of {kind!r}: expected whole numbers")
    values = np.frombuffer(stand_in.data, dtype=kind)
    return values.reshape(stand_in.shape, order="F" if stand_in.fortran else "C")


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
