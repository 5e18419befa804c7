"""CIFAR's python pickles, read without running anything that a pickle can ask for."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any, BinaryIO

from lora_ensemble.errors import DataError


def read_pickle(path: Path) -> dict[str, Any]:
    """A dict of numbers, texts, bytes, lists and arrays of whole numbers; its keys as text.

    Raises DataError for a pickle that names any other class or function (which reading it would run), or is damaged.
    """
    try:
        with path.open("rb") as file:
            reader = _Reader(file, path)
            values = reader.plain(reader.load())
    except DataError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"{path} is no readable pickle: {type(error).__name__}: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} holds a {type(values).__name__}: expected a dict")
    return values


class _Reader(pickle.Unpickler):
    """Builds nothing of NumPy while it reads, only stand-ins, which hold what the pickle says of an array. They are
    made anew for each file, since a pickle can set their attributes."""

    def __init__(self, file: BinaryIO, path: Path):
        super().__init__(file, encoding="bytes")  # CIFAR's were written by Python 2
        self.path = path

        class DType:
            def __init__(self, code: Any, *_: Any):
                self.code, self.order = code, "="

            def __setstate__(self, state: tuple) -> None:
                self.order = state[1]

        class Array:
            def __setstate__(self, state: tuple) -> None:
                _, self.shape, self.dtype, self.fortran, self.data = state

        def reconstruct(*_: Any) -> Array:
            return Array()

        def from_buffer(data: Any, dtype: DType, shape: tuple, order: str) -> Array:
            array = Array()
            array.__setstate__((1, shape, dtype, order == "F", data))
            return array

        def encode(text: str, encoding: str) -> bytes:  # how Python 3 writes bytes for Python 2
            if encoding != "latin1":
                raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
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

    def plain(self, value: Any) -> Any:
        """Stand-ins as arrays, keys as text."""
        if isinstance(value, dict):
            return {_text(key): self.plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.plain(item) for item in value]
        return _array(value) if isinstance(value, self.array) else value


def _array(stand_in: Any) -> Any:
    import numpy as np

    kind = _text(stand_in.dtype.order) + _text(stand_in.dtype.code)
    if not re.fullmatch(r"[|<>=][iu][1248]", kind):
        raise pickle.UnpicklingError(f"an array of {kind!r}: expected whole numbers")
    values = np.frombuffer(stand_in.data, dtype=kind)
    return values.reshape(stand_in.shape, order="F" if stand_in.fortran else "C")


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
