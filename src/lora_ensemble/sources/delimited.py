"""CSV and TSV files with a header: which delimiter, whether quotes mean anything, and the rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lora_ensemble.errors import DataError

_LONGEST = 1 << 30  # characters of a cell: Python's own limit is 131,072


def delimited_rows(path: Path, encoding: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row with its place. Cells that a short row lacks are not in it.

    Columns are divided by tabs in a .tsv file, and otherwise by what divides the header: a comma, or a semicolon or tab
    where it has no comma. Raises DataError for what is no such file, with the number of the line.
    """
    csv.field_size_limit(_LONGEST)
    with path.open(encoding=encoding, newline="") as lines:
        form = _form(path, lines.readline())
    if form["delimiter"] == "\t" and not _reads(path, encoding, form):
        form["quoting"] = csv.QUOTE_NONE  # as GLUE's and many others are written, with quotes that are text
    with path.open(encoding=encoding, newline="") as lines:
        reader = csv.DictReader(lines, strict=True, **form)
        try:
            _check_header(reader.fieldnames or (), path)
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row:
                    raise DataError(f"{where}: more cells than the {len(reader.fieldnames or ())} columns")
                yield where, {name: value for name, value in row.items() if value is not None}
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _form(path: Path, header: str) -> dict[str, Any]:
    if path.suffix.lower() in (".tsv", ".tab"):
        return {"delimiter": "\t"}
    return {"delimiter": next((mark for mark in (",", "\t", ";") if mark in header), ",")}


def _reads(path: Path, encoding: str, form: dict[str, Any]) -> bool:
    """Whether the whole file can be read with quotes around cells, every row as wide as the header."""
    with path.open(encoding=encoding, newline="") as lines:
        reader = csv.reader(lines, strict=True, **form)
        try:
            width = len(next(reader, ()))
            return all(len(row) in (0, width) for row in reader)
        except csv.Error:
            return False


def _check_header(names: Any, path: Path) -> None:
    if twice := sorted({name for name in names if list(names).count(name) > 1}):
        raise DataError(f"{path} has the column {twice[0]!r} twice")
