"""A folder of recordings with one subfolder per class, in any common format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from lora_ensemble.audio.decoding import SUFFIXES
from lora_ensemble.audio.own import NOT_READ
from lora_ensemble.audio.recordings import AudioDataset, Source
from lora_ensemble.contracts import Split
from lora_ensemble.errors import DataError
from lora_ensemble.sources.folders import files_below, subfolders
from lora_ensemble.sources.splits import VALIDATION, carve

if TYPE_CHECKING:
    import numpy as np

TEST = 0.2
"""Share of the test split."""
GIVEN = ("train", "validation", "test")
"""Subfolders of a folder that is split already; validation may be absent."""


@dataclass(frozen=True)
class AudioFolder(AudioDataset):
    """`<data>/<class>/<any name>.wav` (flac, ogg, mp3, ...), also in folders below a class. Recordings are named by
    their paths and in the order of these names.

    A fifth is for testing and a tenth of the rest for validation, stratified by class, drawn from `split_seed`. A
    folder with subfolders `train` and `test` is split already; without `validation`, that is held out from `train`."""

    data: str = "."
    """The folder."""
    group: str | None = None
    """Regular expression of what in a file's path (class/name.wav) says which recordings belong together, such as
    `speaker[0-9]+`; recordings of one group are never in two of the splits that are drawn."""

    name: ClassVar[str] = "audio-folder"

    @property
    def splits(self) -> tuple[str, ...]:
        return GIVEN

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
        recordings that cannot be used, all of them listed."""
        import numpy as np

        self._check(split)
        root = Path(self.data).expanduser()
        files = _files(root)
        classes = sorted({file.label for file in files})
        if len(classes) < 2:
            raise DataError(
                f"{root} has {len(classes)} folders of recordings; expected one for each class, at least two"
            )
        labels = np.array([classes.index(file.label) for file in files], dtype=np.int64)
        source = Source([file.id for file in files], labels, classes, [file.path for file in files], str(root))
        return self._split(split, source, self._parts(files, labels))

    def _parts(self, files: list[_File], labels_N: np.ndarray) -> dict[str, np.ndarray]:
        import numpy as np

        groups = [self._group(file.id) for file in files]
        parts_N = np.array([file.part for file in files])
        given = {part: np.flatnonzero(parts_N == part) for part in GIVEN}
        if not len(given["test"]):
            held_out = VALIDATION * (1 - TEST)
            shares = {"test": TEST, "validation": held_out, "train": 1 - TEST - held_out}
            return carve(groups, labels_N, shares, self.split_seed)
        if len(given["validation"]):
            return given
        rows = given["train"]
        shares = {"validation": VALIDATION, "train": 1 - VALIDATION}
        inner = carve([groups[i] for i in rows], labels_N[rows], shares, self.split_seed)
        return {**{part: rows[places] for part, places in inner.items()}, "test": given["test"]}

    def _group(self, name: str) -> str:
        found = re.search(self.group, name) if self.group else None
        if self.group and not found:
            raise DataError(f"group = {self.group!r}: is nowhere in {name!r}")
        return found[0] if found else name


class _File(NamedTuple):
    id: str
    """Path below the folder, with slashes."""
    path: Path
    part: str
    """train, validation or test, where the folder says so."""
    label: str


def _files(root: Path) -> list[_File]:
    """All recordings in folders of classes, in the order of their ids."""
    if not root.is_dir():
        raise DataError(f"data = {str(root)!r}: expected a folder with one subfolder for each class")
    found, not_read = [], []
    for part in _given(root):
        for path in sorted(files_below(root / part)):
            inside = path.relative_to(root / part).parts
            if len(inside) == 1:
                continue
            if path.suffix.lower() in SUFFIXES:
                found.append(_File(path.relative_to(root).as_posix(), path, part, inside[0]))
            elif path.suffix.lower() in NOT_READ:
                not_read.append(path.relative_to(root).as_posix())
    if not_read:
        raise DataError(
            f"{root} has {len(not_read)} recordings in a format that cannot be read, such as {not_read[0]}; convert "
            f"them to one of {', '.join(SUFFIXES)}"
        )
    return sorted(found)


def _given(root: Path) -> tuple[str, ...]:
    """The subfolders to look for classes in: those of the splits, or the folder itself (""). Raises DataError for a
    folder that is split in another way, whose splits would pass for classes or be left out."""
    inside = {path.name for path in subfolders(root)}
    alike = {"val", "valid", "dev", "eval"}
    if {"train", "test"} <= inside:
        if near := sorted(inside & alike):
            raise DataError(f"{root} is split into train and test: {near[0]!r} beside them must be named 'validation'")
        return tuple(part for part in GIVEN if part in inside)
    if "train" in inside and inside <= {*GIVEN, *alike}:
        raise DataError(f"{root} has {' and '.join(sorted(inside))}: a folder that is split needs train and test")
    return ("",)
