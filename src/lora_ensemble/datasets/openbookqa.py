"""OpenBookQA: 5,957 questions of elementary science with four choices each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.questions.published import PublishedQuestions


@dataclass(frozen=True)
class Openbookqa(PublishedQuestions):
    """Mihaylov et al., "Can a Suit of Armor Conduct Electricity?", EMNLP 2018; asked without the book's facts.

    By default, validation is a tenth of the training questions, the same from every form; `protocol` "published" has
    the published development questions instead, which the form of LLM-Adapters has not."""

    data: str = "allenai/openbookqa"
    """Hub id, a folder of parquet files in the hub's form, one with train.jsonl, dev.jsonl and test.jsonl (or Data/Main
    above them), or one with the train.json and test.json of LLM-Adapters."""

    name: ClassVar[str] = "openbookqa"
    choices: ClassVar[int] = 4
    config: ClassVar[str | None] = "main"
    folders: ClassVar[tuple[str, ...]] = ("Data/Main", "Main", "openbookqa")
    files: ClassVar = {"train": "train.jsonl", "validation": "dev.jsonl", "test": "test.jsonl"}
    published: ClassVar = {"train": "train", "validation": "validation", "test": "test"}
