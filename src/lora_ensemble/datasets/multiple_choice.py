"""Your own multiple-choice questions: JSONL, JSON, CSV or parquet with columns question, choices, answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.questions.own import Answers, read
from lora_ensemble.questions.rows import (
    MODALITY,
    Question,
    as_split,
    drawn_shots,
    held_out,
    letters,
    named,
    with_shots,
)
from lora_ensemble.sources.splits import VALIDATION
from lora_ensemble.sources.tables import SUFFIXES

TEST = 0.2
"""Share of the test split of a single file."""

PREFIX = "multiple-choice"
"""Of the ids."""

_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


@dataclass(frozen=True)
class MultipleChoice(Dataset):
    """A row has a `question`, its `choices` (a list of texts; in CSV, a list in JSON, or columns a, b, c, ...), the
    right `answer` and, if you like, a unique `id`. The number of choices may differ from row to row.

    A folder has a file for each split, named after it: train.jsonl, test.csv, val-2024.parquet. Without a validation
    file, a tenth of the training questions is held out; with a test file alone, it is an out-of-distribution set. A
    single file is split into training, validation and test, stratified by answer. Every split is in the order of the
    ids, or of names that follow from the content, and copies of a question stay together. So the splits do not depend
    on the form or order of the rows."""

    data: str = ""
    """A file, or a folder with a file for each split."""
    answers: Answers = "auto"
    """What `answer` is: index (from 0), letter, or text of the right choice. auto: the one that fits all rows."""
    split_seed: int = 0
    """Seed of the splits that are drawn, and of the shots; not of the training."""
    shots: int = 0
    """So many training questions are shown, with their answers, before each question, and not trained on."""

    modality: ClassVar[str] = MODALITY

    @property
    def splits(self) -> tuple[str, ...]:
        files = self._files()
        return ("test",) if files and not {"", "train"} & files.keys() else ("train", "validation", "test")

    def problems(self) -> list[str]:
        least = {"split_seed": self.split_seed, "shots": self.shots}
        return [f"dataset.{name} = {value}: must be at least 0" for name, value in least.items() if value < 0]

    def load(self, split: str) -> Split:
        """All files are read, whatever the split: the classes are those of the question with the most choices.

        Raises UnknownNameError for a split that does not exist, DataError for what is missing or cannot be used."""
        if split not in self.splits:
            raise UnknownNameError("split of multiple-choice", split, self.splits)
        found = self._read()
        classes = letters(max(len(q.choices) for questions in found.values() for q in questions))
        if self.shots:
            if "train" not in found:
                raise DataError(f"dataset.shots = {self.shots}: {self.data!r} has no training questions to show")
            shots, found["train"] = drawn_shots(found["train"], self.shots, self.split_seed)
            found = {name: with_shots(questions, shots) for name, questions in found.items()}
        return as_split(found[split], classes, f"the split {split} of {self.data!r}")

    def _read(self) -> dict[str, list[Question]]:
        """The questions of every split, named."""
        files = self._files()
        if not files:
            raise DataError(
                f"data = {self.data!r}: expected a file of questions, or a folder with train and test files "
                f"({', '.join(SUFFIXES)})"
            )
        if "" in files:
            held = VALIDATION * (1 - TEST)
            shares = {"test": TEST, "validation": held, "train": 1 - TEST - held}
            return held_out(named(read(files[""], self.answers), PREFIX), shares, self.split_seed)
        if "test" not in files:
            raise DataError(f"data = {self.data!r}: {', '.join(files)} without a test file (test.jsonl, test.csv, ...)")
        found = {part: named(read(path, self.answers), f"{PREFIX}/{part}") for part, path in files.items()}
        if "train" in found and "validation" not in found:
            shares = {"validation": VALIDATION, "train": 1 - VALIDATION}
            found |= held_out(found["train"], shares, self.split_seed)
        return found

    def _files(self) -> dict[str, Path]:
        """The file of each split; of the split "" where there is one for all. Nothing where there is none."""
        place = Path(self.data).expanduser()
        if self.data and place.is_file() and place.suffix.lower() in SUFFIXES:
            return {"": place}
        if not self.data or not place.is_dir():
            return {}
        candidates = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES)
        found: dict[str, Path] = {}
        for part, words in _NAMES.items():
            name = re.compile(rf"(^|[-_.])({'|'.join(words)})([-_.]|$)")
            named_so = [path for path in candidates if name.search(path.name.lower())]
            if len(named_so) > 1:
                raise DataError(f"data = {self.data!r}: several {part} files: {', '.join(p.name for p in named_so)}")
            if named_so:
                found[part] = named_so[0]
        return found or ({"": candidates[0]} if len(candidates) == 1 else {})
