"""Files of numpy, .npy and .npz. Pickled objects in them are never loaded."""

from __future__ import annotations

import functools
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lora_ensemble.errors import DataError, FileFormatError, first_line
from lora_ensemble.predictions.foreign.arrays import found_in, only_labels
from lora_ensemble.predictions.foreign.found import Found, Wanted

_BROKEN = (
    ValueError, EOFError, OSError, MemoryError, OverflowError, RuntimeError, KeyError, zipfile.BadZipFile, zlib.error,
    SyntaxError, tokenize.TokenError, TypeError, IndexError,  # of a damaged header, which numpy reads as Python's
)  # fmt: skip


def read(path: Path, wanted: Wanted) -> Found:
    """A .npy file is one array; of a .npz file, the arrays are told apart by their names."""
    with _arrays(path) as arrays:
        if isinstance(arrays, np.ndarray):
            _check_no_names(wanted)
            return Found(arrays)
        read_one = functools.cache(arrays.__getitem__)
        return found_in({name: read_one(name).shape for name in arrays.files}, read_one, wanted)


def read_labels(path: Path) -> Any:
    """The labels of a file that holds nothing else, or names them."""
    with _arrays(path) as arrays:
        if isinstance(arrays, np.ndarray):
            return arrays
        read_one = functools.cache(arrays.__getitem__)
        return only_labels({name: read_one(name).shape for name in arrays.files}, read_one)


@contextmanager
def _arrays(path: Path) -> Iterator[Any]:
    """Raises FileFormatError for anything but arrays of numbers or texts."""
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                file.seek(0)
                with np.load(file, allow_pickle=False) as opened:
                    yield opened
                return
        # Mapped: a header that asks for more than the file holds is found out before memory is taken.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a header of Python 2 is read a second way
            mapped = np.load(path, allow_pickle=False, mmap_mode="r")
        yield mapped
    except (DataError, FileFormatError):
        raise
    except _BROKEN as error:
        said = str(error)
        if "pickle" in said or "Python objects" in said:
            raise FileFormatError(
                "holds pickled Python objects, which are never loaded (they can run code): "
                "save an array of numbers instead, of dtype float32 for instance"
            ) from None
        raise FileFormatError(f"is truncated or no file of numpy: {first_line(error)}") from None


def _check_no_names(wanted: Wanted) -> None:
    if given := wanted.columns or ((wanted.labels,) if wanted.labels else ()):
        raise DataError(f"is one array without a name, in which there is no {given[0]!r}")
