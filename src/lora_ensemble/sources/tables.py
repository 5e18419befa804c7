"""Rows of JSONL, JSON, CSV and parquet files, each with its place for messages."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lora_ensemble.errors import DataError, UserError, did_you_mean, first_line

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
"""The files that `rows` reads."""

Row = Mapping[str, Any]


def rows(path: Path) -> list[tuple[str, Row]]:
    """Every row of a file, with its place: "questions.jsonl, line 3". JSON is a list of objects, CSV has a header.

    Raises DataError for a file that cannot be read or is not what its suffix says, with the number of the line."""
    readers = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".parquet": _parquet}
    try:
        return list(readers[path.suffix.lower()](path))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def cell(row: Row, name: str, where: str) -> Any:
    """A value by its column. Raises DataError, with the nearest and the available columns, where there is none."""
    if isinstance(row, Mapping) and name in row:
        return row[name]
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: expected an object with {name!r}, found {_short(row)}")
    hint = did_you_mean(name, map(str, row))
    raise DataError(f"{where}: no {name!r}, only {', '.join(map(str, row)) or 'nothing'}.{hint}")


def texts(values: Any, name: str, where: str) -> tuple[str, ...]:
    """A list of texts; numbers are taken as they are written. Raises DataError for anything else."""
    listed = isinstance(values, Sequence) and not isinstance(values, str)
    if listed and all(isinstance(v, str | int | float) and not isinstance(v, bool) for v in values):
        return tuple(map(str, values))
    raise DataError(f"{where}: {name} = {_short(values)}: expected a list of texts")


def text(value: Any, name: str, where: str) -> str:
    """A text. Raises DataError for anything else."""
    if isinstance(value, str):
        return value
    raise DataError(f"{where}: {name} = {_short(value)}: expected a text")


def _jsonl(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise DataError(f"{path}, line {number}: not JSON ({error.msg})") from error
                yield _checked(row, f"{path}, line {number}")


def _json(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from error
    if not isinstance(found, list):
        raise DataError(f"{path}: expected a list of objects, found {_short(found)}")
    for number, row in enumerate(found, 1):
        yield _checked(row, f"{path}, row {number}")


def _csv(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        try:
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row:
                    raise DataError(f"{where}: more cells than the {len(reader.fieldnames or ())} columns")
                yield where, {name: value for name, value in row.items() if value is not None}
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _parquet(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(f"{path} needs pyarrow: pip install pyarrow") from error
    try:
        found = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path} is no readable parquet file ({first_line(error)})") from error
    for number, row in enumerate(found, 1):
        yield f"{path}, row {number}", row


def _checked(row: Any, where: str) -> tuple[str, Row]:
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: expected an object, found {_short(row)}")
    return where, row


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
