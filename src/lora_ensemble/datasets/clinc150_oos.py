"""CLINC150 out of scope: 1,000 questions that belong to none of the 150 intents; out of distribution for clinc150."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import UnknownNameError


@dataclass(frozen=True)
class Clinc150Oos(Dataset):
    """The official test split of Larson et al. (see `clinc150`), without labels."""

    data: str = "clinc/clinc_oos"
    """Hub id, data_full.json, or a folder with it or with parquet files in the hub's form."""

    modality: ClassVar[str] = "text"

    @property
    def splits(self) -> tuple[str, ...]:
        return ("test",)

    def load(self, split: str) -> Split:
        """Raises UnknownNameError for a split that does not exist, DataError for data that are missing."""
        from lora_ensemble.text.clinc import read
        from lora_ensemble.text.published import as_split

        if split not in self.splits:
            raise UnknownNameError("split of clinc150-oos", split, self.splits)
        return as_split(read(self.data, "test", in_scope=False), (), "clinc150-oos/test", f"data = {self.data!r}")
