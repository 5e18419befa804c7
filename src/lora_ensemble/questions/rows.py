"""Multiple-choice questions: checked rows, names by content, and the splits and shots that follow from them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import TYPE_CHECKING

from lora_ensemble.contracts import Example, Split
from lora_ensemble.errors import DataError
from lora_ensemble.sources.splits import carve, stratified_order

if TYPE_CHECKING:
    import numpy as np

MODALITY = "choices"


@dataclass(frozen=True)
class Question:
    """One question. Raises DataError, beginning with `where`, for an empty text or a number of choices that cannot be
    lettered."""

    text: str
    choices: tuple[str, ...]
    answer: int | None
    """Index of the right choice; None where the source does not tell."""
    where: str
    """The file and row that it comes from, for messages."""
    name: str = ""
    """As the source names it, or by its content (`named`)."""
    shots: tuple[Question, ...] = ()
    """Questions that are shown, with their answers, before it."""

    def __post_init__(self) -> None:
        try:
            "".join((self.text, *self.choices)).encode()
        except UnicodeEncodeError:
            raise DataError(f"{self.where}: a text with a lone surrogate, which no encoding can write") from None
        if not self.text.strip():
            raise DataError(f"{self.where}: the question is empty")
        if not 2 <= len(self.choices) <= len(ascii_lowercase):
            raise DataError(f"{self.where}: {len(self.choices)} choices; expected 2 to {len(ascii_lowercase)}")
        for number, choice in enumerate(self.choices):
            if not choice.strip():
                raise DataError(f"{self.where}: choice {ascii_lowercase[number]} is empty")
        if self.answer is not None and not 0 <= self.answer < len(self.choices):
            raise DataError(
                f"{self.where}: answer {self.answer} is not among the {len(self.choices)} choices "
                f"(0 to {len(self.choices) - 1})"
            )

    def example(self) -> Example:
        """What a backbone reads."""
        asked = {"question": self.text.strip(), "choices": [choice.strip() for choice in self.choices]}
        if not self.shots:
            return asked
        return {**asked, "shots": [{**shot.example(), "answer": shot.answer} for shot in self.shots]}

    def content(self) -> str:
        """A digest of question and choices, in this order; spaces do not matter."""
        return _digest([self.text, *self.choices])

    def copy_key(self) -> str:
        """Equal for questions that differ only in the order of their choices."""
        return _digest([self.text, *sorted(map(_plain, self.choices))])


def letters(number: int) -> tuple[str, ...]:
    """The first letters, in lower case: the names of the choices."""
    return tuple(ascii_lowercase[:number])


def labelled(key: str, labels: Sequence[str], where: str) -> int | None:
    """The index of a published answer key among the labels of the choices; None for an empty key. Raises DataError for
    one that is not among them."""
    if not key:
        return None
    if key not in labels:
        raise DataError(f"{where}: answer {key!r} is not among the choices {', '.join(labels)}")
    return list(labels).index(key)


def named(questions: Iterable[Question], prefix: str) -> list[Question]:
    """The questions in the order of their names, prefix/name, whatever their order. One without a name is named by its
    content; the second of two copies ends in -2, and so on. Raises DataError for two questions of one name."""
    keyed = [(q.name or q.content(), -1 if q.answer is None else q.answer, q) for q in questions]
    seen: dict[str, str] = {}
    copies: Counter[str] = Counter()
    out = []
    for name, _, question in sorted(keyed, key=lambda entry: entry[:2]):
        if question.name and name in seen:
            raise DataError(f"{question.where}: id {name!r} is that of {seen[name]}, too; ids must be unique")
        seen[name] = question.where
        copies[name] += 1
        number = f"-{copies[name]}" if copies[name] > 1 else ""
        out.append(replace(question, name=f"{prefix}/{name}{number}"))
    return out


def held_out(questions: Sequence[Question], shares: Mapping[str, float], seed: int) -> dict[str, list[Question]]:
    """Named questions by split, stratified by answer; copies stay together (see `carve`)."""
    rows = carve([q.copy_key() for q in questions], answers(questions), shares, seed)
    return {split: [questions[row] for row in found] for split, found in rows.items()}


def drawn_shots(questions: Sequence[Question], number: int, seed: int) -> tuple[list[Question], list[Question]]:
    """So many questions to show before every other, stratified by answer, and the rest, without copies of those.

    Raises DataError where too few are left to train on."""
    if not number:
        return [], list(questions)
    if number >= len(questions):
        raise DataError(f"dataset.shots = {number}: only {len(questions)} training questions to take them from")
    shots = [questions[row] for row in stratified_order(answers(questions), seed)[:number]]
    taken = {q.copy_key() for q in shots}
    return shots, [q for q in questions if q.copy_key() not in taken]


def answers(questions: Sequence[Question]) -> np.ndarray:
    """(N,) int64. Raises DataError, naming the first question, where one has no answer."""
    import numpy as np

    for question in questions:
        if question.answer is None:
            raise DataError(f"{question.where}: no answer, and this split needs one")
    return np.array([q.answer for q in questions], dtype=np.int64)


def with_shots(questions: Iterable[Question], shots: Iterable[Question]) -> list[Question]:
    """The questions, each with these shown before it."""
    shown = tuple(shots)
    return [replace(question, shots=shown) if shown else question for question in questions]


def as_split(questions: Sequence[Question], classes: Sequence[str], about: str) -> Split:
    """Named questions as a split; without labels where no question has an answer.

    about: what it is, for the error when there are none.
    """
    if not questions:
        raise DataError(f"{about} is empty")
    return Split(
        examples=[q.example() for q in questions],
        labels=None if all(q.answer is None for q in questions) else answers(questions),
        ids=[q.name for q in questions],
        classes=list(classes),
        modality=MODALITY,
    )


def _plain(text: str) -> str:
    return " ".join(text.split())


def _digest(texts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(map(_plain, texts)).encode(), digest_size=8).hexdigest()
