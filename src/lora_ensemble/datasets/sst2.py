"""SST-2: 9,613 sentences of film reviews, positive or negative, 1,821 of them to test on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import DataError, UnknownNameError

FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
CLASSES = ("negative", "positive")


@dataclass(frozen=True)
class Sst2(Dataset):
    """The binary Stanford Sentiment Treebank (Socher et al., EMNLP 2013), whole sentences without the neutral ones, in
    the official splits: 6,920, 872 and 1,821. GLUE's form, whose training split has phrases and whose test split has no
    labels, is another one. A sentence is named by its content, and every split is in the order of these names."""

    data: str = "SetFit/sst2"
    """Hub id, or a folder with train.tsv, dev.tsv and test.tsv (sentence, tab, 0 or 1) or parquet files."""

    modality: ClassVar[str] = "text"

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(FILES)

    def load(self, split: str) -> Split:
        """Raises UnknownNameError for a split that does not exist, DataError for data that are missing."""
        from lora_ensemble.sources.rows import column, hub_rows, local_path
        from lora_ensemble.text.published import as_split, tab_lines

        if split not in FILES:
            raise UnknownNameError("split of sst2", split, FILES)
        path, where = local_path(self.data), f"data = {self.data!r}, {split}"
        if path is not None and (path / FILES[split]).is_file():
            rows = [
                (text, CLASSES[int(label)] if label in ("0", "1") else label)
                for text, label in tab_lines(path / FILES[split])
            ]
        else:
            table = hub_rows(self.data, split)
            texts, labels = (table[column(table, self.data, names)][:] for names in (("text", "sentence"), ("label",)))
            if wrong := [label for label in labels if label not in (0, 1)]:
                raise DataError(f"{where}: label {wrong[0]!r}: expected 0 or 1")
            rows = [(text, CLASSES[label]) for text, label in zip(texts, labels, strict=True)]
        return as_split(rows, CLASSES, f"sst2/{split}", where)
