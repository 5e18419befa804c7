"""MMLU: 15,858 questions of 57 subjects, from law to virology, with four choices each; all, a group or one subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import UnknownNameError
from lora_ensemble.questions.mmlu import CHOICES, GROUPS, SUBJECTS, read
from lora_ensemble.questions.rows import MODALITY, Question, as_split, held_out, letters, named, with_shots
from lora_ensemble.sources.splits import VALIDATION

DEV = 5
"""Questions of each subject in the published dev split, which are for shots."""


@dataclass(frozen=True)
class Mmlu(Dataset):
    """Hendrycks et al., "Measuring Massive Multitask Language Understanding", ICLR 2021.

    As in arXiv 2402.12264, the published dev and validation questions (285 and 1,531) are for training and the 14,042
    test questions for testing. A tenth of each subject's training questions is held out for validation, stratified by
    answer. So a subject is split in the same way in whatever group and form. The questions of a subject are in the
    order of their names, which follow from their content."""

    data: str = "cais/mmlu"
    """Hub id, a folder of parquet files in the hub's form, or one with dev, val and test in the original form."""
    group: str = "all"
    """all, ss (social sciences), stem, humanities, other, all_without_ss, all_without_stem, or one subject."""
    protocol: Literal["validation", "published"] = "validation"
    """Hold out a tenth of the training questions for validation, or train on all of them, as published."""
    split_seed: int = 0
    """Seed of the split into training and validation; not of the training."""
    shots: int = 0
    """So many dev questions of its subject, up to 5, are shown with their answers before each question. None of the dev
    questions is trained on then."""

    modality: ClassVar[str] = MODALITY

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "validation", "test") if self.protocol == "validation" else ("train", "test")

    def problems(self) -> list[str]:
        found = []
        if self.split_seed < 0:
            found.append(f"dataset.split_seed = {self.split_seed}: must be at least 0")
        if not 0 <= self.shots <= DEV:
            found.append(f"dataset.shots = {self.shots}: must be 0 to {DEV}")
        if self.group not in GROUPS and self.group not in SUBJECTS:
            found.append(str(self._unknown_group()).rstrip("."))
        return found

    def load(self, split: str) -> Split:
        """Raises UnknownNameError for a split or group that does not exist, DataError for subjects that are missing or
        a row that cannot be used."""
        if split not in self.splits:
            raise UnknownNameError("split of mmlu", split, self.splits)
        if self.group not in GROUPS and self.group not in SUBJECTS:
            raise self._unknown_group()
        subjects = GROUPS.get(self.group, (self.group,))
        found = self._tested(subjects) if split == "test" else self._trained(subjects)[split]
        dev = read(self.data, "dev", subjects) if self.shots else {}
        questions = [
            question
            for subject in subjects
            for question in with_shots(found[subject], dev.get(subject, [])[: self.shots])
        ]
        about = f"the split {split} of mmlu, group {self.group}, in {self.data!r}"
        subject = [subject for subject in subjects for _ in found[subject]]
        return replace(as_split(questions, letters(len(CHOICES)), about), columns={"subject": subject})

    def _tested(self, subjects: Sequence[str]) -> dict[str, list[Question]]:
        return {s: named(found, f"mmlu/test/{s}") for s, found in read(self.data, "test", subjects).items()}

    def _trained(self, subjects: Sequence[str]) -> dict[str, dict[str, list[Question]]]:
        """Training and validation questions of each subject. A question that two subjects have, and that is held out in
        one of them, is trained on in neither."""
        dev = {} if self.shots else read(self.data, "dev", subjects)
        val = read(self.data, "val", subjects)
        pools = {s: named([*dev.get(s, ()), *val[s]], f"mmlu/train/{s}") for s in subjects}
        if self.protocol == "published":
            return {"train": pools}
        shares = {"validation": VALIDATION, "train": 1 - VALIDATION}
        parts = {s: held_out(pool, shares, self.split_seed) for s, pool in pools.items()}
        out = {q.copy_key() for part in parts.values() for q in part["validation"]}
        return {
            "validation": {s: part["validation"] for s, part in parts.items()},
            "train": {s: [q for q in part["train"] if q.copy_key() not in out] for s, part in parts.items()},
        }

    def _unknown_group(self) -> UnknownNameError:
        return UnknownNameError("dataset.group", self.group, [*GROUPS, *SUBJECTS])
