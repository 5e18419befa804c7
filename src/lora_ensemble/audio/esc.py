"""What ESC-50 and ESC-10 have in common: five official folds, one of them to test on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from lora_ensemble.audio.clips import some
from lora_ensemble.audio.esc_rows import FOLDS, METADATA, Row, Rows, read
from lora_ensemble.audio.recordings import AudioDataset, Source
from lora_ensemble.contracts import Split
from lora_ensemble.errors import DataError
from lora_ensemble.sources.splits import VALIDATION, carve

if TYPE_CHECKING:
    import numpy as np

TEST_INSIDE, VALIDATION_INSIDE = 0.25, 0.15
"""Shares of one fold that is split within, in recordings."""


@dataclass(frozen=True)
class Esc(AudioDataset):
    """Clips are named by their files and, in every form, in the order of these names.

    One fold is for testing and the others for training, of which a tenth is held out for validation: whole source
    recordings, stratified by class, drawn from `split_seed`. Between the official folds, four recordings are shared,
    each by two clips of different classes."""

    fold: int = 1
    """The fold to test on, 1 to 5. Not used with `inside_fold`."""
    inside_fold: int | None = None
    """Use this fold alone, split by source recording into training, validation and test split."""
    protocol: Literal["validation", "published"] = "validation"
    """Hold out recordings of the training folds for validation, or train on all of them, as published."""
    meta: str = METADATA
    """Name of the metadata file in meta/, which lists the clips; not for the hub's form, which has none."""

    classes: ClassVar[tuple[str, ...]]

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "validation", "test") if self.protocol == "validation" else ("train", "test")

    @property
    def folds(self) -> tuple[int, ...]:
        """The official ones; none for a split within one."""
        return FOLDS if self.inside_fold is None else ()

    def problems(self) -> list[str]:
        found = super().problems()
        for name in ("fold", "inside_fold"):
            fold = getattr(self, name)
            if fold is not None and fold not in FOLDS:
                nearest = min(FOLDS, key=lambda known: abs(known - fold))
                found.append(
                    f"dataset.{name} = {fold}: there are folds {FOLDS[0]} to {FOLDS[-1]}, the nearest is {nearest}"
                )
        return found

    def load(self, split: str) -> Split:
        """With "train", the clips of all splits are looked at, so that the run stops before training if one of them
        cannot be used.

        Raises UnknownNameError for a split that does not exist, DataError that lists all clips that are missing or
        damaged, or for metadata or a fold that cannot be used."""
        import numpy as np

        self._check(split)
        source = read(self.data, self.meta)
        used = [i for i, row in enumerate(source.rows) if self._uses(row)]
        rows = [source.rows[i] for i in used]
        labels = np.array([self.classes.index(row.category) for row in rows], dtype=np.int64)
        clips = Source([row.id for row in rows], labels, self.classes, some(source.stored, used), source.where)
        return self._split(split, clips, self._parts(source, rows, labels))

    def _uses(self, row: Row) -> bool:
        return row.category in self.classes and self.inside_fold in (None, row.fold)

    def _parts(self, source: Rows, rows: list[Row], labels_N: np.ndarray) -> dict[str, np.ndarray]:
        """Row numbers of each split, rising."""
        import numpy as np

        held_out = self.protocol == "validation"
        folds_N = np.array([row.fold for row in rows])
        needed = self.fold if self.inside_fold is None else self.inside_fold
        if needed not in folds_N:
            there = ", ".join(map(str, sorted({row.fold for row in source.rows})))
            raise DataError(f"{source.where} has no clip of {self.name} in fold {needed}, only in {there}")
        recordings = [row.recording for row in rows]
        if self.inside_fold is not None:
            validation = VALIDATION_INSIDE if held_out else 0.0
            shares = {"test": TEST_INSIDE, "validation": validation, "train": 1 - TEST_INSIDE - validation}
            return carve(recordings, labels_N, shares, self.split_seed)
        test, others = np.flatnonzero(folds_N == self.fold), np.flatnonzero(folds_N != self.fold)
        if not held_out or len(others) == 0:
            return {"train": others, "validation": others[:0], "test": test}
        shares = {"validation": VALIDATION, "train": 1 - VALIDATION}
        inner = carve([recordings[i] for i in others], labels_N[others], shares, self.split_seed)
        return {**{name: others[places] for name, places in inner.items()}, "test": test}
