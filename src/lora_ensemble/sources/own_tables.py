"""A user's table, wherever it is: a file, a folder with a file for each split, or a data set of the hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_ensemble.errors import DataError
from lora_ensemble.sources.folders import files_below
from lora_ensemble.sources.parts import part_in, part_of
from lora_ensemble.sources.rows import hub_splits, is_hub_id, local_path
from lora_ensemble.sources.tables import SUFFIXES, UTF_8, Row, stream


@dataclass(frozen=True)
class Table:
    """Where the rows are, without having read them."""

    data: str
    files: Sequence[tuple[str, Path]]
    """Each with its split, or ""; none for a data set of the hub."""
    encoding: str = UTF_8
    config: str | None = None

    @classmethod
    def at(cls, data: str, encoding: str = UTF_8, config: str | None = None) -> Table:
        """data: a file, a folder or a hub id. Raises DataError where there is no table."""
        path = local_path(data)
        if path is None and is_hub_id(data):
            return cls(data, (), encoding, config)
        if path is None:
            raise DataError(f"data = {data!r}: expected a table ({', '.join(SUFFIXES)}), a folder of them, or a hub id")
        return cls(data, [("", path)] if path.is_file() else _files(path, data), encoding, config)

    @property
    def parts(self) -> tuple[str, ...]:
        """The splits that files are named after."""
        return tuple(dict.fromkeys(part for part, _ in self.files if part))

    def rows(self) -> Iterator[tuple[str, str, Row]]:
        """Each row with its place, for messages, and its split, or ""."""
        for part, path in self.files:
            for where, row in stream(path, self.encoding):
                yield where, part, row
        if not self.files:
            for name, rows in hub_splits(self.data, self.config).items():
                for number, row in enumerate(rows):
                    yield f"{self.data}, {name}, row {number}", self._hub_part(name), row

    def class_names(self, column: str) -> list[str] | None:
        """Names of the classes, where labels are indices and the source says what they mean, as the hub's do."""
        if not self.files:
            features = next(iter(hub_splits(self.data, self.config).values())).features
            return list(getattr(features.get(column), "names", None) or ()) or None
        found = [_names_in(path, column) for _, path in self.files if path.suffix.lower() == ".parquet"]
        return found[0] if found and all(names == found[0] for names in found) else None

    def _hub_part(self, name: str) -> str:
        part = part_of(name)
        if part is None:
            raise DataError(f"data = {self.data!r} has a split {name!r}: expected train, validation or test")
        return part


def _files(folder: Path, data: str) -> list[tuple[str, Path]]:
    """The tables of a folder. Named after splits, themselves or by their folder, or a single one."""
    tables = [path for path in files_below(folder) if path.suffix.lower() in SUFFIXES]
    named = [(part, path) for path in tables if (part := part_in(path) or part_of(path.parent.name))]
    if not named:
        if len(tables) == 1:
            return [("", tables[0])]
        there = f"{len(tables)} that are named after no split" if tables else "none"
        raise DataError(
            f"data = {data!r}: expected one table, or one for each split (train.csv, test.csv, ...), in this folder; "
            f"there are {there}"
        )
    for part in dict.fromkeys(part for part, _ in named):
        kinds = {path.suffix.lower() for other, path in named if other == part}
        if len(kinds) > 1:
            raise DataError(f"data = {data!r}: the {part} split is there as {' and as '.join(sorted(kinds))}")
    return named


def _names_in(path: Path, column: str) -> list[str] | None:
    """The hub's parquet files carry the names of classes in their metadata."""
    import pyarrow
    import pyarrow.parquet

    try:
        metadata: Mapping[bytes, bytes] = pyarrow.parquet.read_schema(path).metadata or {}
        found: Any = json.loads(metadata[b"huggingface"])["info"]["features"][column]["names"]
        return [str(name) for name in found] or None
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError):
        return None
