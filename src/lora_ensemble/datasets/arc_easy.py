"""ARC-Easy: 5,197 science questions for school grades 3 to 9, with three to five choices each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.questions.published import PublishedQuestions


@dataclass(frozen=True)
class ArcEasy(PublishedQuestions):
    """Clark et al., "Think you have Solved Question Answering? Try ARC", 2018.

    By default, validation is a tenth of the training questions, the same from every form; `protocol` "published" has
    the published development questions instead, which the form of LLM-Adapters has not."""

    data: str = "allenai/ai2_arc"
    """Hub id, a folder of parquet files in the hub's form, one with ARC-Easy-Train.jsonl and so on (or ARC-Easy above
    them), or one with the train.json and test.json of LLM-Adapters."""

    name: ClassVar[str] = "arc_easy"
    choices: ClassVar[int] = 5
    config: ClassVar[str | None] = "ARC-Easy"
    folders: ClassVar[tuple[str, ...]] = ("ARC-Easy",)
    files: ClassVar = {
        "train": "ARC-Easy-Train.jsonl",
        "validation": "ARC-Easy-Dev.jsonl",
        "test": "ARC-Easy-Test.jsonl",
    }
    published: ClassVar = {"train": "train", "validation": "validation", "test": "test"}
