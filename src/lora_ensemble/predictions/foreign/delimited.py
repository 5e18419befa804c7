"""CSV and TSV files of numbers, with a header or, as numpy writes them, without."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lora_ensemble.errors import DataError, FileFormatError, first_line

if TYPE_CHECKING:
    import pandas as pd

_MISSING = ["", "NA", "NaN", "nan", "null", "None"]


def opened(path: Path) -> tuple[list[str], Callable[[Sequence[str], Sequence[str]], pd.DataFrame]]:
    """Names of the columns, and what reads some of them: as numbers, and as texts. Columns of a file without a header
    are called 0, 1, 2, ..."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
    except UnicodeError as error:
        raise FileFormatError(f"is not UTF-8: {error}") from None
    if not first.strip():
        raise FileFormatError("is empty")
    mark = "\t" if path.suffix.lower() == ".tsv" else next((mark for mark in (",", "\t", ";") if mark in first), ",")
    cells = next(csv.reader([first], delimiter=mark))
    names = [str(c) for c in range(len(cells))] if _are_values(cells) else cells
    if twice := [name for name in names if names.count(name) > 1]:
        raise FileFormatError(f"has the column {twice[0]!r} twice")

    def read(numbers: Sequence[str], texts: Sequence[str]) -> pd.DataFrame:
        import pandas as pd

        kinds = {**dict.fromkeys(numbers, "float64"), **dict.fromkeys(texts, "str")}
        try:
            frame = pd.read_csv(
                path, sep=mark, names=names, header=0 if names == cells else None, usecols=list(kinds), dtype=kinds,
                keep_default_na=False, na_values=dict.fromkeys(numbers, _MISSING), encoding="utf-8-sig",
                index_col=False,
            )  # fmt: skip
        except (ValueError, OSError) as error:  # pandas' own are ValueErrors
            raise DataError(f"cannot be read as a table of numbers: {first_line(error)}") from None
        return frame.assign(**{name: _whole(frame[name]) for name in texts})

    return names, read


def _are_values(cells: Sequence[str]) -> bool:
    """Whether a first line is numbers already; 0,1,2,... are names of columns, as pandas writes them."""
    if cells == [str(c) for c in range(len(cells))]:
        return False
    try:
        return all(float(cell) is not None for cell in cells)
    except ValueError:
        return False


def _whole(column: pd.Series) -> list[str] | list[int]:
    """Texts; where all of them are whole numbers as Python writes them, as such."""
    texts: list[str] = column.tolist()
    if all(text.isdecimal() and str(int(text)) == text for text in texts):
        return [int(text) for text in texts]
    return texts
