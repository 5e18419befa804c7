"""Your own table of images, as paths or encoded, with labels: CSV, TSV, JSONL, parquet, or a data set of the hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.images.own import KIND, USUAL, OwnImages
from lora_ensemble.sources import media
from lora_ensemble.sources.own import OwnRows
from lora_ensemble.sources.own_tables import Table


@dataclass(frozen=True)
class ImageTable(OwnImages):
    """A file with a column of paths, from the file's folder on, or of encoded images, and one of labels; or a folder
    with such a file for each split (train.csv, dev.csv, test.csv); or a file with a column `split`."""

    data: str = ""
    """A file, a folder with a file for each split, or a hub id."""
    config: str | None = None
    """Name of the configuration of a hub data set."""
    image_column: str | None = None
    """Column of the images. Unset: found by its name, or the only one that holds bytes."""

    name: ClassVar[str] = "image-table"

    def _read(self) -> OwnRows:
        columns = (self.image_column, self.label_column, self.split_column, self.group_column, self.id_column)
        table = Table.at(self.data, self.encoding, self.config)
        return media.read(table, media.Wanted(*columns, USUAL), KIND, labelled=self.carve)
