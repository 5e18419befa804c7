"""Which column of a table is which: by its name, or by what is in it, where that leaves no doubt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lora_ensemble.errors import DataError, did_you_mean

LABEL = ("label", "labels", "class", "category", "target", "intent", "sentiment", "diagnosis", "dx", "topic", "y")
TEXT = (
    "text", "sentence", "utterance", "review", "content", "body", "message", "comment", "document", "tweet", "query",
    "question", "article", "description", "abstract", "post", "sms",
)  # fmt: skip
PAIR = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("text1", "text2"),
    ("text_a", "text_b"), ("question", "sentence"), ("question", "passage"), ("question", "context"),
    ("query", "passage"), ("query", "document"),
)  # fmt: skip
FILE = ("file_name", "filename", "file", "path", "filepath", "file_path")
SPLIT = ("split", "subset", "partition")
ID = ("id", "idx", "index", "row_id", "uid", "")
"""Names that columns have elsewhere; "" is what pandas writes for its index."""

LOOK = 500
"""So many rows are looked at to tell columns apart."""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class TextColumns:
    """What was found in a table of texts."""

    text: str
    pair: str | None
    label: str | None


def named(columns: Iterable[str], names: Sequence[str]) -> list[str]:
    """The columns that have one of the names, in whatever case."""
    return [column for column in columns if str(column).strip().lower() in names]


def given(columns: Sequence[str], name: str | None, field: str, where: str) -> str | None:
    """A column that the user names. Raises DataError, listing the columns, where there is none of this name."""
    if name is not None and name not in columns:
        raise DataError(
            f"{where} has no column {name!r} ({field}), only {', '.join(columns)}.{did_you_mean(name, columns)}"
        )
    return name


def split_column(columns: Sequence[str], name: str | None, where: str) -> str | None:
    """The one that names splits, if any."""
    found = named(columns, SPLIT)
    return given(columns, name, "dataset.split_column", where) or (found[0] if len(found) == 1 else None)


def id_column(columns: Sequence[str], name: str | None, where: str) -> str | None:
    """The one that names rows, if any."""
    found = [column for column in named(columns, ID) if str(column).strip().lower() == "id"]
    return given(columns, name, "dataset.id_column", where) or (found[0] if len(found) == 1 else None)


def label_column(columns: Sequence[str], name: str | None, taken: Iterable[str | None], where: str) -> str:
    """The one with the labels: named by the user, by its name, or the only one that is nothing else. Raises DataError
    that lists the columns otherwise."""
    if given(columns, name, "dataset.label_column", where) is not None:
        assert name is not None
        return name
    rest = _rest(columns, taken)
    found = named(rest, LABEL) or (rest if len(rest) == 1 else [])
    if len(found) != 1:
        raise DataError(f"{where}: which column is the label? {', '.join(columns)}; say so with dataset.label_column")
    return found[0]


def text_columns(
    rows: Rows, text: str | None, pair: str | None, label: str | None, taken: Iterable[str | None], where: str
) -> TextColumns:
    """The text, or a pair of them, and the label, which may be missing where there is a single column.

    rows: the first ones. text, pair, label: as the user names them; taken: columns that are something else.
    Raises DataError that lists the columns where it is in doubt."""
    columns = list(rows[0])
    for name, field in ((text, "text_column"), (pair, "pair_column"), (label, "label_column")):
        given(columns, name, f"dataset.{field}", where)
    rest = [column for column in _rest(columns, taken) if column not in (text, pair, label)]
    if text is None:
        text, second = _texts_by_name(rest)
        pair = pair or second
        rest = [column for column in rest if column not in (text, pair)]
    if label is None:
        found = named(rest, LABEL)
        label = found[0] if len(found) == 1 else None
        rest = [column for column in rest if column != label]
    if text is None and label is None and len(rest) == 2:
        text, label = _longer(rows, rest)
    elif text is None and len(rest) == 1:
        text = rest[0]
    elif label is None and text is not None and len(rest) == 1:
        label = rest[0]
    if text is None:
        raise DataError(f"{where}: which column is the text? {', '.join(columns)}; say so with dataset.text_column")
    return TextColumns(text, pair, label)


def _rest(columns: Sequence[str], taken: Iterable[str | None]) -> list[str]:
    gone = {*taken, *named(columns, ID), *named(columns, SPLIT)}
    return [column for column in columns if column not in gone]


def _texts_by_name(columns: Sequence[str]) -> tuple[str | None, str | None]:
    lower = {column.strip().lower(): column for column in columns}
    pairs = [(lower[one], lower[other]) for one, other in PAIR if one in lower and other in lower]
    if len(pairs) == 1:
        return pairs[0]
    found = named(columns, TEXT)
    return (found[0] if len(found) == 1 else None), None


def _longer(rows: Rows, columns: Sequence[str]) -> tuple[str | None, str | None]:
    """Of two columns, the text is the longer one and the more distinct one; none where these are not the same."""
    values = {column: [str(row.get(column) or "") for row in rows] for column in columns}
    length = {column: sum(map(len, found)) for column, found in values.items()}
    distinct = {column: len(set(found)) for column, found in values.items()}
    one, other = sorted(columns, key=lambda column: (length[column], distinct[column]), reverse=True)
    sure = length[one] > length[other] and distinct[one] >= distinct[other]
    return (one, other) if sure else (None, None)
