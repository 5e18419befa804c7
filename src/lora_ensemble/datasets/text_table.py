"""Your own table of texts or pairs of texts with labels: CSV, TSV, JSONL, parquet, or a data set of the hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import UnknownNameError
from lora_ensemble.sources.own import divided, settle
from lora_ensemble.sources.own_tables import Table
from lora_ensemble.sources.parts import PARTS
from lora_ensemble.sources.tables import UTF_8
from lora_ensemble.text.own import Wanted, read


@dataclass(frozen=True)
class TextTable(Dataset):
    """A file with a column of texts and one of labels, or a folder with such a file for each split (train.csv, dev.csv,
    test.csv), or a file with a column `split`. What is not given is carved by content: a fifth for testing, a tenth for
    validation, the same for every row however many are added, copies of a text together."""

    data: str = ""
    """A file, a folder with a file for each split, or a hub id."""
    config: str | None = None
    """Name of the configuration of a hub data set."""
    text_column: str | None = None
    """Column of the texts. Unset: found by its name, or, of two columns, the longer and more distinct one."""
    pair_column: str | None = None
    """Column of the second texts, where rows are pairs. Unset: found by the usual names of pairs."""
    label_column: str | None = None
    """Column of the labels. Unset: found by its name, or the only one that is left."""
    split_column: str | None = None
    """Column that says train, validation or test. Unset: `split`, where there is one."""
    group_column: str | None = None
    """Rows with the same value in it are never in two of the splits that are carved: patients, speakers, threads."""
    id_column: str | None = None
    """Column that names the rows. Unset: `id`, or else names follow from the content."""
    encoding: str = UTF_8
    """Of text files: utf-8, latin-1, utf-16 ..."""
    skip_unreadable: bool = False
    """Leave out rows that cannot be used, with a warning that counts them, instead of an error."""
    split_seed: int = 0
    """Another number carves other splits; not the seed of the training."""
    carve: bool = True
    """False: everything is the test split, with labels or without, as for an out-of-distribution set."""

    modality: ClassVar[str] = "text"

    @property
    def splits(self) -> tuple[str, ...]:
        return PARTS if self.carve else ("test",)

    def problems(self) -> list[str]:
        return [] if self.split_seed >= 0 else [f"dataset.split_seed = {self.split_seed}: must be at least 0"]

    def load(self, split: str) -> Split:
        """Raises UnknownNameError for a split that does not exist; DataError for columns that are in doubt, rows that
        cannot be used, all counted and the first listed, and labels that are no classes."""
        if split not in self.splits:
            raise UnknownNameError("split of text-table", split, self.splits)
        wanted = Wanted(
            self.text_column,
            self.pair_column,
            self.label_column,
            self.split_column,
            self.group_column,
            self.id_column,
        )
        own = read(Table.at(self.data, self.encoding, self.config), wanted, labelled=self.carve)
        settle(own, self.skip_unreadable)
        parts = divided(own, self.split_seed, self.carve)
        rows = parts.rows[split]
        return Split(
            examples=[own.examples[row] for row in rows],
            labels=parts.labels(split),
            ids=[own.ids[row] for row in rows],
            classes=parts.classes,
            modality=self.modality,
            columns=own.said_of(rows.tolist()),
        )
