"""Your own folder of images: a subfolder for each class, or a table metadata.csv that names files and labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lora_ensemble.images.own import KIND, USUAL, OwnImages, pattern_problems
from lora_ensemble.sources import class_folders, media
from lora_ensemble.sources.own import OwnRows
from lora_ensemble.sources.own_tables import Table


@dataclass(frozen=True)
class ImageFolder(OwnImages):
    """`<data>/<class>/<any name>.jpg`, also in folders below a class and through links; or folders `train`,
    `validation` (`val`, `valid`, `dev`) and `test` with such folders in them; or images anywhere, with a metadata.csv
    or labels.csv (TSV, JSONL, parquet) that has a column `file_name` and one of labels."""

    data: str = "."
    """The folder."""
    group: str | None = None
    """Without a table: regular expression of what in a file's path (class/name.jpg) says which images belong together,
    such as `patient[0-9]+`; those of one group are never in two of the splits that are carved."""

    name: ClassVar[str] = "image-folder"

    def problems(self) -> list[str]:
        return [*super().problems(), *pattern_problems(self.group)]

    def _read(self) -> OwnRows:
        root = Path(self.data).expanduser()
        table = class_folders.table_in(root) if root.is_dir() else None
        if table is None:
            return class_folders.read(root, KIND, self.group, labelled=self.carve)
        wanted = media.Wanted(None, self.label_column, self.split_column, self.group_column, self.id_column, USUAL)
        return media.read(Table.at(str(table), self.encoding), wanted, KIND, labelled=self.carve)
