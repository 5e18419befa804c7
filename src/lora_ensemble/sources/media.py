"""A user's table of files or encoded cells: images or sounds with their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from lora_ensemble.errors import DataError
from lora_ensemble.sources.carving import digest
from lora_ensemble.sources.class_folders import Kind, file_digest
from lora_ensemble.sources.columns import FILE, LABEL, LOOK, given, id_column, label_column, named, split_column
from lora_ensemble.sources.folders import files_below
from lora_ensemble.sources.names import names
from lora_ensemble.sources.own import OwnRows
from lora_ensemble.sources.own_tables import Table
from lora_ensemble.sources.parts import part_of
from lora_ensemble.sources.rows import encoded


@dataclass(frozen=True)
class Wanted:
    """Columns as the user names them; None: to be found. usual: names that the column of the content often has."""

    content: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    id: str | None = None
    usual: Sequence[str] = ()


def read(table: Table, wanted: Wanted, kind: Kind, labelled: bool = True) -> OwnRows:
    """All rows; the examples are files or bytes. Files are looked for from the table's folder, by their path, and else
    by their name, with or without its ending. Cells that hold neither are `problems`; a file that is missing shows when
    it is decoded. Raises DataError for columns in doubt."""
    rows = table.rows()
    first = list(islice(rows, LOOK))
    if not first:
        raise DataError(f"data = {table.data!r} has no rows")
    where = f"data = {table.data!r}"
    columns = list(first[0][2])
    content = content_column(columns, first[0][2], wanted, where)
    split, name = split_column(columns, wanted.split, where), id_column(columns, wanted.id, where)
    group = given(columns, wanted.group, "dataset.group_column", where)
    taken = (content, split, name, group)
    label = None
    if labelled or wanted.label or len(named(columns, LABEL)) == 1:
        label = label_column(columns, wanted.label, taken, where)
    own = OwnRows(where, class_names=None if label is None else table.class_names(label))
    place_of = Places(table, kind)
    for place, part, row in chain(first, rows):
        if split is not None and row.get(split) not in (None, ""):
            part = part_of(row[split]) or "?"
        stored = place_of(row.get(content))
        if stored is None or part == "?":
            wrong = f"nothing in {content!r}" if stored is None else f"{split} = {row.get(str(split))!r} is no split"
            own.problems.append(f"{place}: {wrong}")
            continue
        own.ids.append(_name(row, name, content))
        own.labels.append(None if label is None else row.get(label))
        own.parts.append(part)
        own.examples.append(stored)
        own.content.append(file_digest(stored) if isinstance(stored, Path) else digest([stored]))
        if group is not None:
            own.groups.append(str(row.get(group)))
        own.note(row, {content})
    own.ids = names(own.ids, own.content)
    return own


def content_column(columns: Sequence[str], row: Mapping[str, Any], wanted: Wanted, where: str) -> str:
    """The column of the files or bytes: named by the user, by its name, or the only one that holds bytes."""
    if given(columns, wanted.content, "its column", where) is not None:
        assert wanted.content is not None
        return wanted.content
    holding = [column for column in columns if isinstance(row[column], bytes | Mapping)]
    found = holding if len(holding) == 1 else named(columns, FILE) or named(columns, wanted.usual)
    if len(found) != 1:
        raise DataError(f"{where}: which column has the files? {', '.join(columns)}; say so with its dataset field")
    return found[0]


class Places:
    """From a cell to a file or bytes."""

    def __init__(self, table: Table, kind: Kind):
        self.kind = kind
        self.home = table.files[0][1].parent if table.files else None
        self._found: dict[str, Path] | None = None

    def __call__(self, cell: Any) -> Path | bytes | None:
        """None for a cell that holds nothing of the kind."""
        if isinstance(cell, int) and not isinstance(cell, bool):
            cell = str(cell)
        stored = encoded(cell.strip() if isinstance(cell, str) else cell)
        if not isinstance(stored, Path) or self.home is None:
            return stored
        if not str(cell).strip():
            return None
        path = self.home / stored.expanduser()
        return path if path.is_file() else self._below().get(stored.name, path)

    def _below(self) -> dict[str, Path]:
        """Files by their name, and by their name without ending where that is one file's alone."""
        if self._found is None:
            assert self.home is not None
            files = [path for path in files_below(self.home) if path.suffix.lower() in self.kind.suffixes]
            once: dict[str, list[Path]] = {}
            for path in files:
                for key in {path.name, path.stem}:
                    once.setdefault(key, []).append(path)
            self._found = {key: paths[0] for key, paths in once.items() if len(paths) == 1}
        return self._found


def _name(row: Mapping[str, Any], name: str | None, content: str) -> str:
    if name is not None and row.get(name) is not None:
        return str(row[name])
    cell = row.get(content)
    return str(cell).strip() if isinstance(cell, str | int) else ""
