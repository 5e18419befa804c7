"""Files that are to be answered: those of a folder, one alone, or those that a table names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from lora_ensemble.errors import DataError
from lora_ensemble.sources.class_folders import Kind
from lora_ensemble.sources.columns import LABEL, LOOK, given, id_column, named
from lora_ensemble.sources.folders import files_below, subfolders
from lora_ensemble.sources.incoming import STDIN, Incoming, Options, table_rows
from lora_ensemble.sources.media import Places, Wanted, content_column
from lora_ensemble.sources.own_tables import Table
from lora_ensemble.sources.rows import local_path


def rows(path: str, options: Options, kind: Kind, column: str | None, usual: Sequence[str]) -> Iterator[Incoming]:
    """column: of the files, in a table, where the user names it; usual: what it is often called."""
    found = None if path == STDIN else local_path(path)
    if found is not None and found.is_dir():
        yield from _in_folder(found, options, kind)
    elif found is not None and found.suffix.lower() in kind.suffixes:
        yield Incoming(found.name, found)
    else:
        yield from _in_table(path, options, kind, column, usual)


def _in_folder(root: Path, options: Options, kind: Kind) -> Iterator[Incoming]:
    """Folders right below the root are labels where each of them is the name of a class."""
    inside = [folder.name for folder in subfolders(root)]
    labelled = bool(inside) and set(inside) <= set(options.classes)
    any_there = False
    for path in files_below(root):
        name = path.relative_to(root).as_posix()
        if path.suffix.lower() in kind.suffixes:
            yield Incoming(name, path, name.split("/")[0] if labelled and "/" in name else None)
            any_there = True
        elif path.suffix.lower() in kind.not_read:
            yield Incoming(name, "is in a format that cannot be read", bad=True)
            any_there = True
    if not any_there:
        raise DataError(f"{str(root)!r} has no {kind.noun} ({', '.join(kind.suffixes)})")


def _in_table(path: str, options: Options, kind: Kind, column: str | None, usual: Sequence[str]) -> Iterator[Incoming]:
    rows = table_rows(path, options.encoding)
    first = list(islice(rows, LOOK))
    if not first:
        raise DataError(f"{path!r} has no rows")
    columns = list(first[0][1])
    content = content_column(columns, first[0][1], Wanted(column, usual=usual), repr(path))
    name = id_column(columns, options.id_column, repr(path))
    label = given(columns, options.label_column or None, "label column", repr(path))
    if label is None and options.label_column is None and len(found := named(columns, LABEL)) == 1:
        label = found[0]
    file = Path.cwd() / "standard input" if path == STDIN else Path(path).expanduser()
    place_of = Places(Table(path, [("", file)]), kind)
    for number, (_, row) in enumerate(chain(first, rows)):
        cell, stored = row.get(content), place_of(row.get(content))
        own = row.get(name) if name is not None else cell if isinstance(cell, str) else None
        key = str(number) if own in (None, "") else str(own)
        if stored is None:
            yield Incoming(key, f"nothing in {content!r}", bad=True)
        else:
            yield Incoming(key, stored, None if label is None else row.get(label))
