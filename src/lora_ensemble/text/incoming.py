"""Texts that are to be answered: a table of them, or a plain text file with one on each line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from lora_ensemble.contracts import Split
from lora_ensemble.errors import DataError
from lora_ensemble.sources.columns import LABEL, LOOK, TEXT, TextColumns, given, id_column, named, text_columns
from lora_ensemble.sources.incoming import STDIN, Incoming, Options, labels_of, table_rows
from lora_ensemble.sources.rows import local_path
from lora_ensemble.sources.tables import Row
from lora_ensemble.text.own import MODALITY, example_of


def rows(path: str, options: Options) -> Iterator[Incoming]:
    """Of a table or the standard input; a .txt file has a text on each line."""
    found = None if path == STDIN else local_path(path)
    if found is not None and found.suffix.lower() == ".txt":
        yield from _lines(found, options.encoding)
        return
    table = table_rows(path, options.encoding)
    first = list(islice(table, LOOK))
    if not first:
        raise DataError(f"{path!r} has no rows")
    columns = list(first[0][1])
    name = id_column(columns, options.id_column, repr(path))
    wanted = _columns([row for _, row in first], options, name, path)
    for number, (_, row) in enumerate(chain(first, table)):
        example = example_of(row, wanted)
        key = str(number) if name is None or row.get(name) in (None, "") else str(row[name])
        label = None if wanted.label is None else row.get(wanted.label)
        yield Incoming(key, example, label, bad=isinstance(example, str))


def split(rows: Sequence[Incoming], options: Options) -> Split:
    """A chunk of texts."""
    return Split(
        examples=[row.stored for row in rows],
        labels=labels_of(rows, options),
        ids=[row.id for row in rows],
        classes=options.classes,
        modality=MODALITY,
    )


def _columns(first: list[Row], options: Options, name: str | None, path: str) -> TextColumns:
    """As a data set finds them; but a column that is merely left over is not the label here."""
    columns = list(first[0])
    for field in options.asked:
        if field != "id_column":
            given(columns, getattr(options, field), f"--{field.replace('_', '-')}", path)
    wanted = (options.text_column, options.pair_column, options.label_column)
    text, pair, label = (column if column in columns else None for column in wanted)
    if options.label_column == "" and text is not None:
        return TextColumns(text, pair, None)
    found = text_columns(first, text, pair, label, (name,), repr(path))
    by_content = text is None and found.text not in named(columns, TEXT)
    plain = label is not None or by_content or found.label in named(columns, LABEL)
    return found if plain and options.label_column != "" else TextColumns(found.text, found.pair, None)


def _lines(path: Path, encoding: str) -> Iterator[Incoming]:
    try:
        with path.open(encoding=encoding) as lines:
            for number, line in enumerate(lines):
                text = line.rstrip("\r\n")
                yield Incoming(str(number), {"text": text} if text.strip() else "no text", bad=not text.strip())
    except UnicodeError as error:
        raise DataError(f"{path} is not {encoding} ({error}); name the encoding of the file") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
