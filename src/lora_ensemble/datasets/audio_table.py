"""Your own table of recordings, as paths or encoded, with labels: CSV, TSV, JSONL, parquet, or a hub data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.audio.own import KIND, USUAL
from lora_ensemble.audio.own_dataset import OwnAudio
from lora_ensemble.sources import media
from lora_ensemble.sources.own import OwnRows
from lora_ensemble.sources.own_tables import Table


@dataclass(frozen=True)
class AudioTable(OwnAudio):
    """A file with a column of paths, from the file's folder on, or of encoded recordings, and one of labels; or a
    folder with such a file for each split (train.csv, dev.csv, test.csv); or a file with a column `split`."""

    data: str = ""
    """A file, a folder with a file for each split, or a hub id."""
    config: str | None = None
    """Name of the configuration of a hub data set."""
    audio_column: str | None = None
    """Column of the recordings. Unset: found by its name, or the only one that holds bytes."""

    name: ClassVar[str] = "audio-table"

    def _read(self) -> OwnRows:
        columns = (self.audio_column, self.label_column, self.split_column, self.group_column, self.id_column)
        table = Table.at(self.data, self.encoding, self.config)
        return media.read(table, media.Wanted(*columns, USUAL), KIND, labelled=self.carve)
