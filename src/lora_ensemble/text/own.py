"""A user's own table of texts: which column is which, and the rows that can be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from lora_ensemble.contracts import Example
from lora_ensemble.errors import DataError
from lora_ensemble.sources.carving import digest
from lora_ensemble.sources.columns import LOOK, TextColumns, given, id_column, split_column, text_columns
from lora_ensemble.sources.names import names
from lora_ensemble.sources.own import OwnRows
from lora_ensemble.sources.own_tables import Table
from lora_ensemble.sources.parts import part_of

MODALITY = "text"


@dataclass(frozen=True)
class Wanted:
    """Columns as the user names them; None: to be found."""

    text: str | None = None
    pair: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    id: str | None = None


def read(table: Table, wanted: Wanted, labelled: bool = True) -> OwnRows:
    """All rows of a table. Rows without a text are its `problems`. Raises DataError for columns in doubt; labelled:
    that of the labels, too."""
    rows = table.rows()
    first = list(islice(rows, LOOK))
    if not first:
        raise DataError(f"data = {table.data!r} has no rows")
    where = f"data = {table.data!r}"
    columns = list(first[0][2])
    split, name = split_column(columns, wanted.split, where), id_column(columns, wanted.id, where)
    group = given(columns, wanted.group, "dataset.group_column", where)
    taken = (split, name, group)
    found = text_columns([row for *_, row in first], wanted.text, wanted.pair, wanted.label, taken, where)
    if found.label is None and labelled:
        raise DataError(f"{where}: which column is the label? {', '.join(columns)}; say so with dataset.label_column")
    own = OwnRows(where, class_names=None if found.label is None else table.class_names(found.label))
    for place, part, row in chain(first, rows):
        _add(own, place, part, row, found, taken)
    own.ids = names(own.ids, own.content)
    return own


def example_of(row: Mapping[str, Any], columns: TextColumns) -> Example | str:
    """What a backbone reads of a row, or what is wrong with it."""
    found = {"text": row.get(columns.text)}
    if columns.pair is not None:
        found["text_pair"] = row.get(columns.pair)
    for name, value in found.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value = str(value)
        if not isinstance(value, str) or not value.strip():
            return f"no text in {columns.text if name == 'text' else columns.pair!r}"
    return found


def content_of(example: Example) -> str:
    """A digest of the texts, equal for those that differ in spaces alone."""
    return digest(" ".join(str(value).split()) for value in example.values())


def _add(
    own: OwnRows, place: str, part: str, row: Mapping[str, Any], columns: TextColumns, taken: tuple[str | None, ...]
) -> None:
    split, name, group = taken
    example = example_of(row, columns)
    if isinstance(example, str):
        own.problems.append(f"{place}: {example}")
        return
    if split is not None and row.get(split) not in (None, ""):
        part = part_of(row[split]) or ""
        if not part:
            own.problems.append(f"{place}: {split} = {row[split]!r} is none of train, validation and test")
            return
    own.ids.append("" if name is None or row.get(name) is None else str(row[name]))
    own.labels.append(None if columns.label is None else row.get(columns.label))
    own.parts.append(part)
    own.content.append(content_of(example))
    own.examples.append(example)
    if group is not None:
        own.groups.append(str(row.get(group)))
    own.note(row, {columns.text, columns.pair})
