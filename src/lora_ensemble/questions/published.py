"""Published sets of multiple-choice questions: the hub's form, the official one, and the lists of LLM-Adapters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.questions.rows import (
    MODALITY,
    Question,
    as_split,
    drawn_shots,
    held_out,
    labelled,
    letters,
    named,
    with_shots,
)
from lora_ensemble.sources.rows import hub_rows, local_folder, parquet_files
from lora_ensemble.sources.splits import VALIDATION
from lora_ensemble.sources.tables import cell, rows, text, texts

_ASKED = "Please choose the correct answer to the question:"
_FORMAT = "Answer format:"


@dataclass(frozen=True)
class PublishedQuestions(Dataset):
    """What they have in common. A question is named by its content, and every split is in the order of these names. So
    the same questions give the same splits, from whatever form. Copies of a question are never in both training and
    validation."""

    data: str = ""
    """Hub id or folder."""
    protocol: Literal["validation", "published"] = "validation"
    """Hold out a tenth of the training questions for validation, stratified, or split as published."""
    split_seed: int = 0
    """Seed of the split into training and validation, and of the shots; not of the training."""
    shots: int = 0
    """So many training questions are shown, with their answers, before each question, and not trained on."""

    modality: ClassVar[str] = MODALITY
    name: ClassVar[str]
    choices: ClassVar[int]
    """The largest number of choices."""
    config: ClassVar[str | None] = None
    """The hub's configuration."""
    folders: ClassVar[tuple[str, ...]] = ()
    """Folders within the user's in which the files may be."""
    files: ClassVar[Mapping[str, str]]
    """Official file of each part by the hub's name of it: "train", "validation", "test"."""
    published: ClassVar[Mapping[str, str]]
    """Splits of the published protocol: the part that each is."""

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "validation", "test") if self.protocol == "validation" else tuple(self.published)

    def problems(self) -> list[str]:
        least = {"split_seed": self.split_seed, "shots": self.shots}
        return [f"dataset.{name} = {value}: must be at least 0" for name, value in least.items() if value < 0]

    def load(self, split: str) -> Split:
        """Raises UnknownNameError for a split that does not exist, DataError for data that are missing or unreadable,
        or an answer that is not among the choices."""
        if split not in self.splits:
            raise UnknownNameError(f"split of {self.name}", split, self.splits)
        apart = split != "train" and (split == "test" or self.protocol == "published")
        trained: dict[str, list[Question]] = {}
        shots: list[Question] = []
        if self.shots or not apart:
            trained = self._trained()
            shots, trained["train"] = drawn_shots(trained["train"], self.shots, self.split_seed)
        questions = self._read(self.published[split]) if apart else trained[split]
        about = f"the split {split} of {self.name} in {self.data!r}"
        return as_split(with_shots(questions, shots), letters(self.choices), about)

    def _trained(self) -> dict[str, list[Question]]:
        """The published training questions, by the splits that they become."""
        questions = self._read("train")
        if self.protocol == "published":
            return {"train": questions}
        return held_out(questions, {"validation": VALIDATION, "train": 1 - VALIDATION}, self.split_seed)

    def _read(self, part: str) -> list[Question]:
        """The questions of a part, named."""
        return named(self._unnamed(part), f"{self.name}/{part}")

    def _unnamed(self, part: str) -> list[Question]:
        """The questions of a part, in the order of the source."""
        folder = local_folder(self.data)
        if folder is None:
            return self._from_hub(part)
        official, listed = self.files[part], f"{part}.json"
        for place in (folder, *(folder / name for name in self.folders)):
            if (place / official).is_file():
                return [_official(row, where) for where, row in rows(place / official)]
            if (place / listed).is_file():
                return [_listed(row, where) for where, row in rows(place / listed)]
        if parquet_files(folder, part):
            return self._from_hub(part)
        raise DataError(
            f"data = {self.data!r}: no {part} questions of {self.name} in this folder; expected {official}, {listed} "
            f"in the form of LLM-Adapters, or parquet files named after their split ({part}-00000-of-00001.parquet)"
        )

    def _from_hub(self, part: str) -> list[Question]:
        found = hub_rows(self.data, part, self.config)
        return [_from_hub_row(row, f"{self.data}, {part}, row {number}") for number, row in enumerate(found, 1)]


def _official(row: Mapping[str, Any], where: str) -> Question:
    """{"question": {"stem", "choices": [{"label", "text"}]}, "answerKey"}"""
    asked = cell(row, "question", where)
    options = cell(asked, "choices", where)
    if not isinstance(options, list):
        raise DataError(f"{where}: choices = {options!r}: expected a list")
    labels = [text(cell(option, "label", where), "label", where) for option in options]
    choices = tuple(text(cell(option, "text", where), "text", where) for option in options)
    key = text(row.get("answerKey", ""), "answerKey", where)
    return Question(text(cell(asked, "stem", where), "stem", where), choices, labelled(key, labels, where), where)


def _from_hub_row(row: Mapping[str, Any], where: str) -> Question:
    """{"question" or "question_stem", "choices": {"label", "text"}, "answerKey"}"""
    stem = "question_stem" if "question_stem" in row else "question"
    options = cell(row, "choices", where)
    labels = texts(cell(options, "label", where), "label", where)
    key = text(cell(row, "answerKey", where), "answerKey", where)
    return Question(
        text=text(cell(row, stem, where), stem, where),
        choices=texts(cell(options, "text", where), "text", where),
        answer=labelled(key, labels, where),
        where=where,
    )


def _listed(row: Mapping[str, Any], where: str) -> Question:
    """{"instruction": question, options and format of the answer in one text, "answer": "answer2"}"""
    told = text(cell(row, "instruction", where), "instruction", where)
    asked, _, options = told.removeprefix(_ASKED).rpartition("\n\nAnswer1:")
    options, _, form = options.rpartition(_FORMAT)
    labels = form.strip().split("/")
    if not asked or labels != [f"answer{number}" for number in range(1, len(labels) + 1)]:
        raise DataError(f"{where}: expected '{_ASKED} ... Answer1: ... {_FORMAT} answer1/answer2/...' as instruction")
    choices = re.split(r"\sAnswer\d+:", options)
    if len(choices) != len(labels):
        raise DataError(f"{where}: {len(choices)} options, and a format of the answer for {len(labels)}")
    key = text(cell(row, "answer", where), "answer", where)
    return Question(asked, tuple(choices), labelled(key, labels, where), where)
