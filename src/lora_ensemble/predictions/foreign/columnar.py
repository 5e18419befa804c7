"""Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lora_ensemble.errors import FileFormatError, first_line

if TYPE_CHECKING:
    import pandas as pd


def opened(path: Path) -> tuple[list[str], Callable[[Sequence[str], Sequence[str]], pd.DataFrame]]:
    """Names of the columns, and what reads some of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = [str(name) for name in pq.read_schema(path).names]
    except (pa.ArrowException, OSError) as error:
        raise FileFormatError(f"is no readable parquet file: {first_line(error)}") from None

    def read(numbers: Sequence[str], others: Sequence[str]) -> pd.DataFrame:
        try:
            with pq.ParquetFile(path) as file:
                frame: pd.DataFrame = file.read(columns=[*numbers, *others]).to_pandas(ignore_metadata=True)
                return frame
        except (pa.ArrowException, OSError) as error:
            raise FileFormatError(f"is no readable parquet file: {first_line(error)}") from None

    return names, read
