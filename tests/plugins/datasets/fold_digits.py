"""The first 62 scans of the digits in three folds; a plug-in of the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import UnknownNameError

ROWS = 62


@dataclass(frozen=True)
class FoldDigits(Dataset):
    """Scan i is in fold 1 + i % 3, so that the folds have 21, 21 and 20."""

    fold: int = 1
    """The fold that is "test"."""

    embedded: ClassVar[bool] = True

    def __reduce__(self):
        """Another process finds the plug-in by the tests' own module."""
        from plugged import found_again

        return found_again, ("fold_digits", "FoldDigits", self.fold)

    @property
    def splits(self) -> tuple[str, ...]:
        return "train", "test"

    @property
    def folds(self) -> tuple[int, ...]:
        return 1, 2, 3

    def load(self, split: str) -> Split:
        from lora_ensemble.datasets.digits import Digits

        if split not in self.splits:
            raise UnknownNameError("split of fold-digits", split, self.splits)
        scans = Digits().load("test")
        rows = [i for i in range(ROWS) if (1 + i % 3 == self.fold) == (split == "test")]
        assert scans.labels is not None
        return Split(
            examples=[scans.examples[i] for i in rows],
            labels=scans.labels[rows],
            ids=[scans.ids[i] for i in rows],
            classes=scans.classes,
            modality="image",
        )
