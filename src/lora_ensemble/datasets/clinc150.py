"""CLINC150: 22,500 questions to an assistant in 150 intents, 4,500 of them to test on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import UnknownNameError

PARTS = {"train": "train", "validation": "val", "test": "test"}
"""The official splits, by our names."""


@dataclass(frozen=True)
class Clinc150(Dataset):
    """Larson et al., "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction", EMNLP 2019: the
    questions in scope; those out of scope are the data set `clinc150-oos`. Splits are the official ones. A question is
    named by its content, and every split is in the order of these names."""

    data: str = "clinc/clinc_oos"
    """Hub id, data_full.json, or a folder with it or with parquet files in the hub's form."""

    modality: ClassVar[str] = "text"

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(PARTS)

    def load(self, split: str) -> Split:
        """Raises UnknownNameError for a split that does not exist, DataError for data that are missing."""
        from lora_ensemble.text.clinc import intents, read
        from lora_ensemble.text.published import as_split

        if split not in PARTS:
            raise UnknownNameError("split of clinc150", split, PARTS)
        rows = read(self.data, PARTS[split], in_scope=True)
        return as_split(rows, intents(self.data), f"clinc150/{split}", f"data = {self.data!r}, {split}")
