"""Where the rows of a data set come from: the hub, or a folder of parquet files, which is the form the hub has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.errors import DataError, UserError, first_line
from lora_ensemble.sources.folders import files_below

if TYPE_CHECKING:
    import datasets


_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def local_path(data: str) -> Path | None:
    """The file or folder that a field `data` names, if there is one. Raises DataError for one that may not be seen."""
    try:
        path = Path(data).expanduser()
        return path if data and path.exists() else None
    except (OSError, RuntimeError, ValueError) as error:  # not allowed, no such user, too long for a name
        raise DataError(f"data = {data!r} cannot be looked at: {error}") from error


def is_hub_id(data: str) -> bool:
    """Whether a field `data` has the form owner/name."""
    return _HUB_ID.fullmatch(data) is not None


def local_folder(data: str) -> Path | None:
    """The folder that a field `data` names; None for a hub id. Raises DataError for what can be neither."""
    path = local_path(data)
    if path is not None and path.is_dir():
        return path
    if path is not None or not is_hub_id(data):
        raise DataError(f"data = {data!r}: expected a folder that exists, or a hub id (owner/name)")
    return None


def parquet_files(folder: Path, split: str | None = None) -> list[Path]:
    """All parquet files in a folder and below it, or those of a split, by their names (`test.parquet`,
    `data/test-00000-of-00001.parquet`) or else by those of their folders (`test/0000.parquet`)."""
    found = sorted(path for path in files_below(folder) if path.suffix == ".parquet")
    if split is None:
        return found
    name = re.compile(rf"(^|[-_.]){re.escape(split)}([-_.]|$)")
    named = [path for path in found if name.search(path.name)]
    return named or [path for path in found if any(map(name.search, path.relative_to(folder).parts))]


def hub_rows(data: str, split: str | None = None, config: str | None = None) -> datasets.Dataset:
    """The rows of a split, or of all splits, of a hub data set or a local copy of it, with images and audio still
    encoded.

    config: name of the hub's configuration, which is a folder in a copy. Raises DataError where there are none.
    """
    folder = local_folder(data)
    try:
        from datasets import Dataset, concatenate_datasets
    except ImportError as error:
        raise UserError(f"data = {data!r} needs datasets: pip install 'lora-ensemble[text]'") from error
    try:
        rows = _from_hub(data, split, config) if folder is None else _from_folder(folder, split, config)
    except Exception as error:  # datasets has a dozen of its own, and lets those of its parts through
        where = "not on the hub, or the hub is out of reach" if folder is None else "no copy of it in this folder"
        raise DataError(f"data = {data!r}: {where} ({first_line(error)})") from error
    if not isinstance(rows, Dataset):
        rows = concatenate_datasets([rows[name] for name in sorted(rows)])
    return _encoded_cells(rows)


def hub_splits(data: str, config: str | None = None) -> dict[str, datasets.Dataset]:
    """The rows of each split of a hub data set, by the hub's names. Raises DataError where there are none."""
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise UserError(f"data = {data!r} needs datasets: pip install 'lora-ensemble[text]'") from error
    try:
        found = load_dataset(data, config)
    except Exception as error:  # datasets has a dozen of its own, and lets those of its parts through
        raise DataError(
            f"data = {data!r}: no such file or folder here, and not on the hub, or the hub is out of reach "
            f"({first_line(error)})"
        ) from error
    return {str(name): _encoded_cells(rows) for name, rows in found.items()}


def _encoded_cells(rows: datasets.Dataset) -> datasets.Dataset:
    from datasets import Audio, Image

    for name, feature in rows.features.items():
        if isinstance(feature, Audio | Image):
            rows = rows.cast_column(name, type(feature)(decode=False))
    return rows


def _from_hub(data: str, split: str | None, config: str | None) -> Any:
    from datasets import load_dataset

    return load_dataset(data, config, split=split)


def _from_folder(folder: Path, split: str | None, config: str | None) -> Any:
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, load_dataset

    if config is not None and (folder / config).is_dir():
        folder = folder / config
    files = [str(file) for file in parquet_files(folder, split)]
    if not files:
        raise FileNotFoundError(f"no parquet files of the split {split}")
    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        return load_dataset("parquet", data_files=files, split="train")
    finally:
        if shown:
            enable_progress_bars()


class EncodedImages(Sequence[bytes | Path | None]):
    """A column of encoded images, each read when it is asked for.

    at: their row numbers; None for an image that is missing."""

    def __init__(self, rows: datasets.Dataset, column: str, at: Sequence[int | None]):
        self.rows, self.column, self.at = rows.select_columns([column]), column, at

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, place: Any) -> Any:
        row = self.at[place]
        if row is None:
            raise FileNotFoundError(place)
        return encoded(self.rows[row][self.column])

    def take(self, rows: Iterable[int]) -> EncodedImages:
        """Those of the given places, without reading them."""
        return EncodedImages(self.rows, self.column, [self.at[row] for row in rows])


def encoded(cell: Any) -> bytes | Path | None:
    """What a cell of an image or audio column holds: bytes, a path, or a mapping of bytes and path, one of which may be
    None. None for a cell that holds neither."""
    if isinstance(cell, Mapping):
        cell = cell.get("path") if cell.get("bytes") is None else cell["bytes"]
    if isinstance(cell, str):
        return Path(cell)
    return bytes(cell) if isinstance(cell, bytes | bytearray | memoryview) else None


def column(rows: datasets.Dataset, data: str, names: Sequence[str]) -> str:
    """The first of the names that the rows have as a column. Raises DataError, naming the columns, if there is none."""
    for name in names:
        if name in rows.column_names:
            return name
    raise DataError(
        f"data = {data!r} has no column {' or '.join(map(repr, names))}, only {', '.join(rows.column_names)}"
    )
