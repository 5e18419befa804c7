"""CommonsenseQA: 12,102 questions of everyday knowledge with five choices each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.questions.published import PublishedQuestions


@dataclass(frozen=True)
class CommonsenseQa(PublishedQuestions):
    """Talmor et al., "CommonsenseQA", NAACL 2019, version 1.11.

    The answers of the published test questions are secret. So "test" is the published development split (1,221
    questions), and validation is a tenth of the 9,741 training questions; with `protocol` "published", all are trained
    on, and there is no validation split."""

    data: str = "tau/commonsense_qa"
    """Hub id, a folder of parquet files in the hub's form, or one with train_rand_split.jsonl, dev_rand_split.jsonl."""

    name: ClassVar[str] = "commonsense_qa"
    choices: ClassVar[int] = 5
    files: ClassVar = {"train": "train_rand_split.jsonl", "validation": "dev_rand_split.jsonl"}
    published: ClassVar = {"train": "train", "test": "validation"}
