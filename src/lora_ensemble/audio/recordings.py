"""What all data sets of audio have in common: clips at 16 kHz, and masks in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from lora_ensemble.audio.clips import looked_at, some
from lora_ensemble.audio.masking import PUBLISHED_FILL, Masking
from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np


class Source(NamedTuple):
    """All clips of a data set, in their order."""

    ids: Sequence[str]
    labels: np.ndarray
    """(N,) int64."""
    classes: Sequence[str]
    stored: Sequence[Any]
    """The recordings: files, or encoded."""
    where: str
    """Where they come from, for messages."""
    columns: Mapping[str, Sequence[Any]] = MappingProxyType({})
    """What else the source says of them, (N,) each."""


@dataclass(frozen=True)
class AudioDataset(Dataset):
    """Clips are float32 (samples,), one channel at 16 kHz, of any length."""

    data: str = ""
    """Hub id or folder."""
    split_seed: int = 0
    """Seed of the split, not of the training."""
    frequency_mask: int = 24
    """In training, a band of fewer mel bands than this is masked in each clip; 0 for none."""
    time_mask: int = 96
    """In training, a stretch of fewer frames (10 ms) than this is masked in each clip; 0 for none."""
    mask_fill: float = PUBLISHED_FILL
    """What masked features become after normalisation: 0 is their mean, 0.618 the padding of ESC-50, as published."""

    modality: ClassVar[str] = "audio"
    name: ClassVar[str]

    def problems(self) -> list[str]:
        least = {name: getattr(self, name) for name in ("split_seed", "frequency_mask", "time_mask")}
        return [f"dataset.{name} = {value}: must be at least 0" for name, value in least.items() if value < 0]

    def masking(self) -> Masking | None:
        """The augmentation of the training split; None where nothing is masked."""
        if self.frequency_mask == self.time_mask == 0:
            return None
        return Masking(self.frequency_mask, self.time_mask, self.mask_fill)

    def _check(self, split: str) -> None:
        """Raises UnknownNameError for a split that does not exist, DataError for fields that cannot be used."""
        if split not in self.splits:
            raise UnknownNameError(f"split of {self.name}", split, self.splits)
        if problems := self.problems():
            raise DataError(problems[0])

    def _split(self, split: str, source: Source, parts: Mapping[str, np.ndarray], skip: bool = False) -> Split:
        """A split, of which `parts` has the row numbers, after a look at its clips, with "train" at all clips.

        skip: leave out those that cannot be used, with a warning. Raises DataError that counts them otherwise, and for
        classes of which there is none to train on."""
        rows = parts[split]
        if len(rows) == 0:
            raise DataError(f"{source.where}: of {len(source.ids)} clips there is none for the {split} split")
        if split == "train":
            known = set(source.labels[rows].tolist())
            if missing := [name for label, name in enumerate(source.classes) if label not in known]:
                raise DataError(
                    f"{source.where} has no clip to train on for {len(missing)} of {len(source.classes)} classes: "
                    f"{', '.join(missing)}"
                )
        looked = range(len(source.ids)) if split == "train" else rows.tolist()
        stored = source.stored if split == "train" else some(source.stored, rows)
        clips, good = looked_at(stored, [source.ids[row] for row in looked], self.name, skip=skip)
        place = {looked[number]: at for at, number in enumerate(good)}
        kept = [row for row in rows.tolist() if row in place]
        labels = source.labels[kept]
        return Split(
            examples=clips.take([place[row] for row in kept]),
            labels=None if (labels < 0).all() else labels,
            ids=[source.ids[row] for row in kept],
            classes=source.classes,
            modality=self.modality,
            augment=self.masking() if split == "train" else None,
            columns={name: [values[row] for row in kept] for name, values in source.columns.items()},
        )
