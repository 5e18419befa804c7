"""Digits whose rows stand in two files of a folder, train.txt and test.txt: data that can change."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.errors import DataError


@dataclass(frozen=True)
class ListedDigits(Dataset):
    data: str = ""
    """A folder."""

    @property
    def splits(self) -> tuple[str, ...]:
        return "train", "test"

    def load(self, split: str) -> Split:
        try:
            rows = [int(word) for word in (Path(self.data) / f"{split}.txt").read_text().split()]
        except OSError as error:
            raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error
        pool = Digits(train_examples=800).load("train")
        assert pool.labels is not None
        return dataclasses.replace(
            pool,
            examples=[pool.examples[row] for row in rows],
            labels=pool.labels[rows],
            ids=[pool.ids[row] for row in rows],
        )
