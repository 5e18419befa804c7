"""Rows that are to be answered, with labels or without, chunk by chunk, so that they may be more than memory holds."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import DataError, UnknownNameError, did_you_mean
from lora_ensemble.sources.classes import plain_label
from lora_ensemble.sources.labels import shown, some_of
from lora_ensemble.sources.rows import local_path
from lora_ensemble.sources.tables import UTF_8, Row, json_lines, stream

if TYPE_CHECKING:
    import numpy as np

ROOMS = {"image": "images", "audio": "audio", "text": "text", "choices": "questions"}
"""Where each modality is read: its module `incoming` has `rows(path, options)` and `split(rows, options)`."""

STDIN = "-"
"""The path that stands for lines of JSON on the standard input."""

UNKNOWN = -100
"""Label of a row without one among others that have one."""


@dataclass(frozen=True)
class Options:
    """How rows are read; columns that are None are found as data sets find them."""

    classes: Sequence[str] = ()
    """Names of the classes that were learned: labels are their indices, and folders of these names are labels."""
    chunk: int = 256
    """Most rows of a Split."""
    start: int = 0
    """So many rows are passed over, without being decoded: those that were answered before."""
    text_column: str | None = None
    pair_column: str | None = None
    image_column: str | None = None
    audio_column: str | None = None
    label_column: str | None = None
    """Column of the labels; "" for none, even where there is one."""
    id_column: str | None = None
    answers: str = "auto"
    """What the answers of multiple-choice questions are; see that data set."""
    encoding: str = UTF_8
    asked: Sequence[str] = ()
    """Columns that the user named here, by their field: they must be there; those of the data set need not."""
    skip_unreadable: bool = False
    """Leave out rows that cannot be used, with a warning that counts them, instead of an error."""

    @classmethod
    def of(cls, dataset: Dataset, **given: Any) -> Options:
        """With the columns that a run's data set was told of, and what is given here."""
        known = {f.name for f in fields(cls)} & {"answers", "encoding", *(n for n in _names(dataset) if "_column" in n)}
        asked = tuple(name for name, value in given.items() if name.endswith("_column") and value)
        values = {name: getattr(dataset, name) for name in known if hasattr(dataset, name)}
        return cls(**{**values, "asked": asked, **given})


class Incoming(NamedTuple):
    """One row."""

    id: str
    stored: Any
    """The example, or what it is decoded from; a text that says what is wrong where `bad`."""
    label: Any = None
    bad: bool = False


def read(path: str | Path, modality: str, options: Options | None = None) -> Iterator[Split]:
    """The rows of a folder, a file, a table or the standard input ("-"), in their order, as splits of at most
    `options.chunk` rows. Their ids are those of the id column, else paths below the folder, else numbers from 0 on.

    Labels are None in a chunk where no row has one, and UNKNOWN for a row that has none among others. Raises DataError
    for what cannot be read, columns in doubt, and labels that were not learned; UnknownNameError for a modality.
    """
    options = options or Options()
    if modality not in ROOMS:
        raise UnknownNameError("modality", modality, ROOMS)
    room: Any = importlib.import_module(f"lora_ensemble.{ROOMS[modality]}.incoming")
    rows: Iterator[Incoming] = islice(room.rows(str(path), options), options.start, None)
    while chunk := list(islice(rows, options.chunk)):
        good = _usable(chunk, str(path), options)
        if good:
            split: Split = room.split(good, options)
            if len(split):
                yield split


def table_rows(path: str, encoding: str) -> Iterator[tuple[str, Row]]:
    """The rows of a table or of the standard input, with their places."""
    if path == STDIN:
        yield from json_lines(sys.stdin, "standard input")
        return
    found = local_path(path)
    if found is None or not found.is_file():
        raise DataError(f"{path!r}: expected a file, a folder, or - for lines of JSON on the standard input")
    yield from stream(found, encoding)


def labels_of(rows: Sequence[Incoming], options: Options) -> np.ndarray | None:
    """(N,) int64, or None. Raises DataError for a label that is none of the classes."""
    import numpy as np

    texts = [plain_label(row.label) for row in rows]
    if options.label_column == "" or not options.classes or not any(texts):
        return None
    index = {name: number for number, name in enumerate(options.classes)}
    for row, text in zip(rows, texts, strict=True):
        if text is not None and text not in index:
            raise DataError(
                f"row {row.id!r}: label {shown(text)} was not learned.{did_you_mean(text, index)} The classes are "
                f"{some_of(list(options.classes), 10)}; --label-column '' reads no labels"
            )
    return np.array([UNKNOWN if text is None else index[text] for text in texts], dtype=np.int64)


def _usable(rows: Sequence[Incoming], path: str, options: Options) -> list[Incoming]:
    problems = [f"{row.id}: {row.stored}" for row in rows if row.bad]
    if problems:
        said = f"{len(problems)} of {len(rows)} rows of {path} cannot be used: {some_of(problems, 5)}"
        if not options.skip_unreadable:
            raise DataError(f"{said}; --skip-unreadable leaves them out")
        warnings.warn(f"{said}; left out", stacklevel=3)
    return [row for row in rows if not row.bad]


def _names(dataset: Dataset) -> list[str]:
    return [field.name for field in fields(dataset)]
