"""What data sets of a user's own sounds have in common."""

from __future__ import annotations

from dataclasses import dataclass

from lora_ensemble.audio.recordings import AudioDataset, Source
from lora_ensemble.contracts import Split
from lora_ensemble.sources.own import OwnRows, divided, settle
from lora_ensemble.sources.parts import PARTS
from lora_ensemble.sources.tables import UTF_8


@dataclass(frozen=True)
class OwnAudio(AudioDataset):
    """Recordings in any common format. What of the splits is not given is carved by content: a fifth for testing, a
    tenth for validation, the same for every recording however many are added, copies of a file together."""

    label_column: str | None = None
    """Column of the labels in a table. Unset: found by its name, or the only one that is left."""
    split_column: str | None = None
    """Column of a table that says train, validation or test. Unset: `split`, where there is one."""
    group_column: str | None = None
    """Rows of a table with the same value in it are never in two of the splits that are carved: speakers, machines."""
    id_column: str | None = None
    """Column that names the rows of a table. Unset: `id`, or else the path is the name."""
    encoding: str = UTF_8
    """Of a table that is text: utf-8, latin-1, utf-16 ..."""
    skip_unreadable: bool = False
    """Leave out recordings that cannot be used, with a warning that counts them, instead of an error."""
    carve: bool = True
    """False: everything is the test split, with labels or without, as for an out-of-distribution set."""

    @property
    def splits(self) -> tuple[str, ...]:
        return PARTS if self.carve else ("test",)

    def load(self, split: str) -> Split:
        """With "train", the recordings of all splits are looked at, so that a run stops before training if one of them
        cannot be used.

        Raises UnknownNameError for a split that does not exist; DataError for folders of another form, columns that
        are in doubt, recordings that cannot be used, all counted and the first listed, and labels that are no classes.
        """
        self._check(split)
        return self._of(split, self._read())

    def _of(self, split: str, own: OwnRows) -> Split:
        """A split of rows, the others carved by content."""
        settle(own, self.skip_unreadable)
        parts = divided(own, self.split_seed, self.carve)
        source = Source(own.ids, parts.labels_N, parts.classes, own.examples, own.where, own.columns)
        return self._split(split, source, parts.rows, skip=self.skip_unreadable)

    def _read(self) -> OwnRows:
        """All rows, their examples still encoded."""
        raise NotImplementedError
