"""Handwritten digits: 1,797 real scans of 8 x 8 pixels, with scikit-learn, so without a download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.sources.splits import stratified_order

if TYPE_CHECKING:
    import numpy as np

TEST, VALIDATION, POOL = 800, 197, 800
"""Sizes of the test and validation splits, and of the rest, from which the training examples come."""


@dataclass(frozen=True)
class Digits(Dataset):
    """Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, UCI, 1998), in the part that
    `sklearn.datasets.load_digits` has. Images are uint8 (8, 8): the sixteen grey levels spread over 0..255.

    One stratified order of all scans is drawn from `split_seed`: first the test split, then validation, then the pool
    whose first `train_examples` are the training split. So the test split does not depend on `train_examples`, and a
    smaller training split is a part of a larger one. The writers are not known; one writer's scans may be in several
    splits."""

    train_examples: int = 200
    """Number of labelled training scans, 10 to 800. Few on purpose: so there are errors to be uncertain about."""
    split_seed: int = 0
    """Seed of the split into training, validation and test; not of the training."""

    embedded: ClassVar[bool] = True

    def problems(self) -> list[str]:
        if 10 <= self.train_examples <= POOL:
            return []
        return [f"dataset.train_examples = {self.train_examples}: must be 10 to {POOL}"]

    @property
    def splits(self) -> tuple[str, ...]:
        return "train", "validation", "test"

    def load(self, split: str) -> Split:
        """Raises UnknownNameError for a split that does not exist, DataError for an impossible number of examples."""
        from sklearn.datasets import load_digits

        if split not in self.splits:
            raise UnknownNameError("split of digits", split, self.splits)
        if problems := self.problems():
            raise DataError(problems[0])
        scans = load_digits()
        start, size = {
            "test": (0, TEST),
            "validation": (TEST, VALIDATION),
            "train": (TEST + VALIDATION, self.train_examples),
        }[split]
        rows = stratified_order(scans.target, self.split_seed)[start : start + size]
        return Split(
            examples=[{"image": grey(scans.images[row], 16)} for row in rows],
            labels=scans.target[rows].astype("int64"),
            ids=[f"digits/{row:04d}" for row in rows],
            classes=[str(name) for name in scans.target_names],
            modality="image",
        )


def grey(image: np.ndarray, levels: int) -> np.ndarray:
    """An image of 0..levels as uint8 of 0..255."""
    import numpy as np

    return np.round(image * (255 / levels)).astype(np.uint8)
