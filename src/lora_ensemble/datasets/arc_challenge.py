"""ARC-Challenge: 2,590 science questions that simple retrieval gets wrong, with three to five choices each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.questions.published import PublishedQuestions


@dataclass(frozen=True)
class ArcChallenge(PublishedQuestions):
    """Clark et al., "Think you have Solved Question Answering? Try ARC", 2018.

    By default, validation is a tenth of the training questions, the same from every form; `protocol` "published" has
    the published development questions instead, which the form of LLM-Adapters has not."""

    data: str = "allenai/ai2_arc"
    """Hub id, a folder of parquet files in the hub's form, one with ARC-Challenge-Train.jsonl and so on (or the folder
    ARC-Challenge above them), or one with the train.json and test.json of LLM-Adapters."""

    name: ClassVar[str] = "arc_challenge"
    choices: ClassVar[int] = 5
    config: ClassVar[str | None] = "ARC-Challenge"
    folders: ClassVar[tuple[str, ...]] = ("ARC-Challenge",)
    files: ClassVar = {
        "train": "ARC-Challenge-Train.jsonl",
        "validation": "ARC-Challenge-Dev.jsonl",
        "test": "ARC-Challenge-Test.jsonl",
    }
    published: ClassVar = {"train": "train", "validation": "validation", "test": "test"}
