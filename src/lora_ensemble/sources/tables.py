"""Rows of JSONL, JSON, CSV, TSV and parquet files, each with its place for messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lora_ensemble.errors import DataError, UserError, did_you_mean, first_line
from lora_ensemble.sources.delimited import delimited_rows
from lora_ensemble.sources.labels import shown

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
"""The files that `rows` reads."""

UTF_8 = "utf-8-sig"
"""With the mark that some programs put at the beginning, or without."""

_TOGETHER = 256  # rows of a parquet file that are decoded at once: they may hold images

Row = Mapping[str, Any]


def rows(path: Path, encoding: str = UTF_8) -> list[tuple[str, Row]]:
    """Every row of a file, with its place: "questions.jsonl, line 3". JSON is a list of objects, CSV has a header.

    Raises DataError for a file that cannot be read or is not what its suffix says, with the number of the line."""
    return list(stream(path, encoding))


def stream(path: Path, encoding: str = UTF_8) -> Iterator[tuple[str, Row]]:
    """`rows` one by one, so that a file may be larger than memory (a .json file may not)."""
    readers = {".jsonl": _jsonl, ".json": _json, ".csv": delimited_rows, ".tsv": delimited_rows, ".parquet": _parquet}
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    try:
        yield from readers[path.suffix.lower()](path, encoding)
    except UnicodeError as error:
        name = "UTF-8" if encoding == UTF_8 else encoding
        raise DataError(f"{path} is not {name} ({error}); name the encoding of the file") from error
    except LookupError as error:
        raise DataError(
            f"encoding = {encoding!r}: {error}; expected a name such as utf-8, latin-1 or utf-16"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}") from error


def cell(row: Row, name: str, where: str) -> Any:
    """A value by its column. Raises DataError, with the nearest and the available columns, where there is none."""
    if isinstance(row, Mapping) and name in row:
        return row[name]
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: expected an object with {name!r}, found {shown(row)}")
    hint = did_you_mean(name, map(str, row))
    raise DataError(f"{where}: no {name!r}, only {', '.join(map(str, row)) or 'nothing'}.{hint}")


def texts(values: Any, name: str, where: str) -> tuple[str, ...]:
    """A list of texts; numbers are taken as they are written. Raises DataError for anything else."""
    listed = isinstance(values, Sequence) and not isinstance(values, str)
    if listed and all(isinstance(v, str | int | float) and not isinstance(v, bool) for v in values):
        return tuple(map(str, values))
    raise DataError(f"{where}: {name} = {shown(values)}: expected a list of texts")


def text(value: Any, name: str, where: str) -> str:
    """A text. Raises DataError for anything else."""
    if isinstance(value, str):
        return value
    raise DataError(f"{where}: {name} = {shown(value)}: expected a text")


def json_lines(lines: Iterable[str], about: str) -> Iterator[tuple[str, Row]]:
    """The objects of a text with one on each line."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{about}, line {number}"
            yield _checked(_parsed(line, where), where)


def _jsonl(path: Path, encoding: str) -> Iterator[tuple[str, Row]]:
    with path.open(encoding=encoding) as lines:
        yield from json_lines(lines, str(path))


def _json(path: Path, encoding: str) -> Iterator[tuple[str, Row]]:
    found = _parsed(path.read_text(encoding=encoding), str(path), many_lines=True)
    if not isinstance(found, list):
        raise DataError(f"{path}: expected a list of objects, found {shown(found)}")
    for number, row in enumerate(found, 1):
        yield _checked(row, f"{path}, row {number}")


def _parsed(text: str, where: str, many_lines: bool = False) -> Any:
    try:
        found = json.loads(text)
        if "\\u" in text:  # a lone half of a pair is let through by json, and by nothing after it
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if many_lines else ""
        raise DataError(f"{where}{line}: not JSON ({error.msg})") from error
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: a text with a lone surrogate, which no encoding can write") from error
    except RecursionError as error:
        raise DataError(f"{where}: not JSON that can be read (nested too deeply)") from error
    except ValueError as error:  # a number of thousands of digits
        raise DataError(f"{where}: not JSON that can be read ({str(error).split(':')[0].split(';')[0]})") from error


def _parquet(path: Path, _: str) -> Iterator[tuple[str, Row]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(f"{path} needs pyarrow: pip install pyarrow") from error
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_TOGETHER):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except pyarrow.ArrowException as error:
        raise DataError(f"{path} is no readable parquet file ({first_line(error)})") from error


def _checked(row: Any, where: str) -> tuple[str, Row]:
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: expected an object, found {shown(row)}")
    return where, row
