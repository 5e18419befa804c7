"""A folder of recordings with one subfolder per class, in any common format."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from lora_ensemble.audio.own import KIND, USUAL
from lora_ensemble.audio.own_dataset import OwnAudio
from lora_ensemble.audio.recordings import Source
from lora_ensemble.contracts import Split
from lora_ensemble.errors import DataError
from lora_ensemble.sources import class_folders, media
from lora_ensemble.sources.own import OwnRows, settle
from lora_ensemble.sources.own_tables import Table
from lora_ensemble.sources.parts import PARTS
from lora_ensemble.sources.splits import VALIDATION, carve

if TYPE_CHECKING:
    import numpy as np

TEST = 0.2
"""Share of the test split."""


@dataclass(frozen=True)
class AudioFolder(OwnAudio):
    """`<data>/<class>/<any name>.wav` (flac, ogg, mp3, ...), also in folders below a class and through links.
    Recordings are named by their paths and in the order of these names.

    A folder with subfolders `train`, `validation` (`val`, `valid`, `dev`) and `test` is split already; what is missing
    is held out from `train`. Or recordings anywhere, with a metadata.csv or labels.csv (TSV, JSONL, parquet) that has a
    column `file_name` and one of labels."""

    data: str = "."
    """The folder."""
    group: str | None = None
    """Without a table: regular expression of what in a file's path (class/name.wav) says which recordings belong
    together, such as `speaker[0-9]+`; recordings of one group are never in two of the splits that are drawn."""
    split_by: Literal["seed", "content"] = "seed"
    """How splits are drawn that are not given. seed: a fifth for testing and a tenth of the rest for validation, as
    exactly as can be in every class. content: these shares on average, but new recordings move no old one; always so
    with a table."""

    name: ClassVar[str] = "audio-folder"

    def problems(self) -> list[str]:
        found = super().problems()
        try:
            re.compile(self.group or "")
        except re.error as error:
            found.append(f"dataset.group = {self.group!r}: is no regular expression ({error})")
        return found

    def load(self, split: str) -> Split:
        """With "train", the recordings of all splits are looked at.

        Raises UnknownNameError for a split that does not exist, DataError for a folder that has another form, and for
        recordings that cannot be used, which are counted and the first listed."""
        self._check(split)
        root = Path(self.data).expanduser()
        table = class_folders.table_in(root) if root.is_dir() else None
        own = self._read() if table is None else self._table(table)
        if table is not None or self.split_by == "content" or not self.carve:
            return self._of(split, own)
        source = _source(_without_strays(own), root, self.skip_unreadable)
        return self._split(split, source, self._parts(own, source.labels), skip=self.skip_unreadable)

    def _read(self) -> OwnRows:
        return class_folders.read(Path(self.data).expanduser(), KIND, self.group, labelled=self.carve)

    def _table(self, path: Path) -> OwnRows:
        wanted = media.Wanted(None, self.label_column, self.split_column, self.group_column, self.id_column, USUAL)
        return media.read(Table.at(str(path), self.encoding), wanted, KIND, labelled=self.carve)

    def _parts(self, own: OwnRows, labels_N: np.ndarray) -> dict[str, np.ndarray]:
        import numpy as np

        groups = own.groups or own.ids
        parts_N = np.array(own.parts)
        given = {part: np.flatnonzero(parts_N == part) for part in PARTS}
        pool = given["train"] if any(own.parts) else np.arange(len(own))
        if not len(pool):
            raise DataError(f"{own.where} has no folder to train on, only {' and '.join(sorted(set(own.parts)))}")
        shares = {} if len(given["test"]) else {"test": TEST}
        if not len(given["validation"]):
            shares["validation"] = VALIDATION * (1 - sum(shares.values()))
        if not shares:
            return given
        shares["train"] = 1 - sum(shares.values())
        drawn = carve([groups[row] for row in pool], labels_N[pool], shares, self.split_seed)
        return {**given, **{part: pool[places] for part, places in drawn.items()}}


def _without_strays(own: OwnRows) -> OwnRows:
    """Files outside of the folders of classes are left out here, with a warning."""
    strays = [problem for problem in own.problems if problem.endswith(class_folders.STRAY)]
    if strays:
        warnings.warn(f"{own.where}: {len(strays)} recordings in no folder of a class are left out", stacklevel=4)
    own.problems = [problem for problem in own.problems if problem not in strays]
    return own


def _source(own: OwnRows, root: Path, skip: bool) -> Source:
    """Rows in the order of their names, with the classes in that of the alphabet."""
    import numpy as np

    settle(own, skip)
    order = sorted(range(len(own)), key=lambda row: own.ids[row])
    for name in ("ids", "labels", "parts", "groups", "content", "examples"):
        values = getattr(own, name)
        setattr(own, name, [values[row] for row in order] if values else [])
    classes = sorted({label for label in own.labels if label is not None})
    if len(classes) < 2:
        raise DataError(f"{root} has {len(classes)} folders of recordings; expected one for each class, at least two")
    index = {name: number for number, name in enumerate(classes)}
    labels = np.array([-1 if label is None else index[label] for label in own.labels], dtype=np.int64)
    return Source(own.ids, labels, classes, own.examples, str(root))
