"""JSONL files: an object on each line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.errors import DataError, FileFormatError, first_line

if TYPE_CHECKING:
    import pandas as pd


def records_of(path: Path) -> list[dict[str, Any]]:
    """The objects. Raises FileFormatError, with the number of the line, for anything else."""
    records = []
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    records.append(_object(line, number))
    except UnicodeError as error:
        raise FileFormatError(f"is not UTF-8: {error}") from None
    if not records:
        raise FileFormatError("is empty")
    return records


def opened(records: Sequence[dict[str, Any]]) -> tuple[list[str], Callable[..., pd.DataFrame]]:
    """Names of the columns, and what reads some of them."""
    names = list(records[0])

    def read(numbers: Sequence[str], others: Sequence[str]) -> pd.DataFrame:
        import pandas as pd

        chosen = [*numbers, *others]
        for number, record in enumerate(records, 1):
            if missing := [name for name in chosen if name not in record]:
                raise DataError(f"row {number} has no {missing[0]!r}, only {', '.join(record)}")
        return pd.DataFrame({name: [record[name] for record in records] for name in chosen})

    return names, read


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"line {number} is not JSON: {first_line(error)}") from None
    if not isinstance(found, dict):
        raise FileFormatError(f"line {number} is no object, but {type(found).__name__}")
    return found
