"""A user's own questions: columns question, choices and answer of any row, and what their answers are."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Literal, cast

from lora_ensemble.errors import DataError, nearest
from lora_ensemble.questions.rows import Question, letters
from lora_ensemble.sources.labels import shown
from lora_ensemble.sources.tables import Row, cell, rows, text, texts

Answers = Literal["auto", "index", "letter", "text"]


def read(path: Path, answers: Answers) -> list[Question]:
    """The questions of a file. Raises DataError, with the row, for what cannot be used; for an empty file."""
    table = rows(path)
    if not table:
        raise DataError(f"{path} has no rows")
    return parsed(table, answers)


def parsed(table: Sequence[tuple[str, Row]], answers: Answers) -> list[Question]:
    """The questions of rows, each with its place. Raises DataError, with the place, for what cannot be used."""
    asked = [(where, row, _choices(row, where)) for where, row in table]
    given = [(where, _given(row, where), choices) for where, row, choices in asked]
    indices: Sequence[int | None] = [None] * len(given)
    if any(answer is not None for _, answer, _ in given):
        index_of = _READERS[_form(given, answers)]
        indices = [index_of(answer, choices, where) for where, answer, choices in given]
    return [
        Question(text(cell(row, "question", where), "question", where), choices, index, where, _id(row))
        for (where, row, choices), index in zip(asked, indices, strict=True)
    ]


def answers_form(table: Sequence[tuple[str, Row]], answers: Answers) -> Answers:
    """What the answers of rows are: index, letter or text; "auto" where there is none."""
    given = [(where, _given(row, where), _choices(row, where)) for where, row in table]
    known = [row for row in given if row[1] is not None]
    return cast(Answers, _form(known, answers)) if known else answers


def _choices(row: Row, where: str) -> tuple[str, ...]:
    """Of the column `choices`, which in a CSV file is JSON; or else of columns a, b, c, ..., the last of which may be
    empty."""
    if "choices" not in row and "a" in row and "b" in row:
        named = [row[letter] for letter in ascii_lowercase if letter in row]
        while named and named[-1] in ("", None):
            named.pop()
        return texts(named, "choices", where)
    values = cell(row, "choices", where)
    if isinstance(values, str):
        try:
            values = json.loads(values)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: choices = {shown(values)}: expected a JSON list of texts") from error
    if isinstance(values, dict) and "text" in values:  # as the hub has them
        values = values["text"]
    return texts(values, "choices", where)


def _given(row: Row, where: str) -> Any:
    """The answer; None where there is none. Raises DataError for a column that was meant to be it."""
    answer = cell(row, "answer", where) if nearest("answer", row) else None
    return None if isinstance(answer, str) and not answer.strip() else answer


def _id(row: Row) -> str:
    name = row.get("id")
    return "" if name is None else str(name)


def _by_index(answer: Any, choices: Sequence[str], where: str) -> int:
    if not choices:
        raise DataError(f"{where}: there are no choices")
    digits = "" if isinstance(answer, bool) else str(answer).strip()
    if not digits.isdecimal() or len(digits.lstrip("0")) > 2 or int(digits) >= len(choices):
        raise DataError(
            f"{where}: answer {shown(answer)} is not among the {len(choices)} choices (index 0 to {len(choices) - 1})"
        )
    return int(digits)


def _by_letter(answer: Any, choices: Sequence[str], where: str) -> int:
    letter, known = str(answer).strip().strip("().").lower(), letters(len(choices))
    if not known:
        raise DataError(f"{where}: there are no choices")
    if letter not in known:
        raise DataError(f"{where}: answer {shown(answer)} is not among the {len(choices)} choices (a to {known[-1]})")
    return known.index(letter)


def _by_text(answer: Any, choices: Sequence[str], where: str) -> int:
    plain = [choice.strip() for choice in choices]
    if plain.count(str(answer).strip()) != 1:
        times = "twice or more" if str(answer).strip() in plain else "not"
        raise DataError(f"{where}: answer {shown(answer)} is {times} among the choices {', '.join(map(repr, plain))}")
    return plain.index(str(answer).strip())


_READERS: dict[str, Callable[[Any, Sequence[str], str], int]] = {
    "index": _by_index,
    "letter": _by_letter,
    "text": _by_text,
}


def _form(given: Sequence[tuple[str, Any, Sequence[str]]], answers: Answers) -> str:
    """What the answers are. Where not told: the form that all rows have, or else the most, whose reader then names the
    first row that has not. Raises DataError where two forms fit and disagree, and for a row without an answer."""
    for where, answer, _ in given:
        if answer is None:
            raise DataError(f"{where}: no answer, but other rows have one")
    if answers != "auto":
        return answers
    if all(type(answer) is int for _, answer, _ in given):
        return "index"
    fits = {form: [_try(reader, row) for row in given] for form, reader in _READERS.items()}
    whole = {form: indices for form, indices in fits.items() if None not in indices}
    if len(set(map(tuple, whole.values()))) > 1:
        raise DataError(
            f"{given[0][0]}: answer {given[0][1]!r} and all others can be read as {' or as '.join(whole)}; say which "
            "with dataset.answers"
        )
    return next(iter(whole), max(fits, key=lambda form: sum(index is not None for index in fits[form])))


def _try(reader: Callable[[Any, Sequence[str], str], int], row: tuple[str, Any, Sequence[str]]) -> int | None:
    where, answer, choices = row
    try:
        return reader(answer, choices, where)
    except DataError:
        return None
