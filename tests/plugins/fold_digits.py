"""The first 62 scans of the digits in three folds, and a recipe on them; plug-ins of the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import UnknownNameError
from lora_ensemble.experiment import Experiment, Training
from lora_ensemble.methods.lora import Lora

ROWS = 62


@dataclass(frozen=True)
class FoldDigits(Dataset):
    """Scan i is in fold 1 + i % 3, so that the folds have 21, 21 and 20."""

    fold: int = 1
    """The fold that is "test"."""

    embedded: ClassVar[bool] = True

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


def lora() -> Experiment:
    """Two members for three epochs, each of three steps."""
    training = Training(epochs=3, batch_size=14, learning_rate=1e-2, device="cpu")
    return Experiment(DigitsViT(), Lora(members=2, r=2), FoldDigits(), training)
