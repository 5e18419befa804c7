"""CIFAR-10 and CIFAR-100 from the hub, from a copy of its form, and from the original python pickles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.images.augment import Augmentation, augmentation
from lora_ensemble.images.content import by_content, from_hub
from lora_ensemble.sources.labels import class_indices
from lora_ensemble.sources.pickles import read_pickle
from lora_ensemble.sources.rows import local_folder, parquet_files
from lora_ensemble.sources.splits import VALIDATION, carve

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Cifar(Dataset):
    """What both have in common. Images are uint8 (32, 32, 3).

    An example is named by its pixels, and every split is in the order of these names. So the same images give the same
    splits, in whatever form and order they come. Copies of an image are never in both training and validation."""

    data: str = ""
    """Hub id or folder."""
    protocol: Literal["validation", "published"] = "validation"
    """Hold out a tenth of the training images for validation, stratified, or train on all of them, as published."""
    split_seed: int = 0
    """Seed of the split into training and validation; not of the training."""
    augmentation: tuple[Augmentation, ...] = ("flip", "rotate")
    """Random changes of training images: flip, in both directions, and rotate, by 0 to 180 degrees."""

    name: ClassVar[str]
    classes: ClassVar[tuple[str, ...]]
    label_column: ClassVar[str]
    """Of the hub's form."""
    label_key: ClassVar[str]
    """Of the pickles."""
    pickles_folder: ClassVar[str]
    """As the original archive calls it."""
    pickles: ClassVar[Mapping[str, tuple[str, ...]]]
    """Files of the train and test parts."""

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "validation", "test") if self.protocol == "validation" else ("train", "test")

    def problems(self) -> list[str]:
        return [] if self.split_seed >= 0 else [f"dataset.split_seed = {self.split_seed}: must be at least 0"]

    def load(self, split: str) -> Split:
        """Raises UnknownNameError for a split that does not exist, DataError for data that are missing or unreadable,
        or a pickle that would run code."""
        import numpy as np

        if split not in self.splits:
            raise UnknownNameError(f"split of {self.name}", split, self.splits)
        part = "test" if split == "test" else "train"
        found = by_content(*self._read(part))
        assert found.labels is not None
        rows = np.arange(len(found.names))
        if part == "train" and self.protocol == "validation":
            shares = {"validation": VALIDATION, "train": 1 - VALIDATION}
            rows = carve(found.digests, found.labels, shares, self.split_seed)[split]
        return Split(
            examples=found.images.take(rows),
            labels=found.labels[rows],
            ids=[f"{self.name}/{part}/{found.names[row]}" for row in rows],
            classes=self.classes,
            modality=self.modality,
            augment=augmentation(self.augmentation) if split == "train" else None,
        )

    def _read(self, part: str) -> tuple[Sequence[np.ndarray], Sequence[int]]:
        """Images and labels of train or test, in the order of the source."""
        folder = local_folder(self.data)
        if folder is not None:
            for place in (folder, folder / self.pickles_folder):
                if any((place / file).is_file() for files in self.pickles.values() for file in files):
                    return self._unpickled(place, part)
            if not parquet_files(folder, part):
                raise DataError(
                    f"data = {self.data!r}: no {self.name} in this folder; expected {self.pickles_folder} or parquet "
                    f"files named after their split ({part}.parquet, {part}-00000-of-00001.parquet)"
                )
        images, labels = from_hub(self.data, part, self.name, self.label_column)
        if labels is None:
            raise DataError(f"data = {self.data!r}: no column {self.label_column!r} in the split {part}")
        return images, self._checked(labels, f"data = {self.data!r}, split {part}")

    def _unpickled(self, place: Path, part: str) -> tuple[Sequence[np.ndarray], Sequence[int]]:
        import numpy as np

        missing = [file for file in self.pickles[part] if not (place / file).is_file()]
        if missing:
            raise DataError(f"data = {self.data!r}: missing in {place}: {', '.join(missing)}")
        images: list[np.ndarray] = []
        labels: list[int] = []
        for file in self.pickles[part]:
            values = read_pickle(place / file)
            pixels, found = values.get("data"), values.get(self.label_key)
            if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (3 * 32 * 32,):
                raise DataError(f"{place / file}: expected 'data', uint8 (N, 3072)")
            if not isinstance(found, Sequence | np.ndarray) or len(found) != len(pixels):
                raise DataError(f"{place / file}: expected {self.label_key!r}, one for each of {len(pixels)} images")
            images.extend(np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)))
            labels.extend(self._checked(found, str(place / file)))
        return images, labels

    def _checked(self, labels: Any, where: str) -> list[int]:
        indices: list[int] = class_indices(labels, len(self.classes), where).tolist()
        return indices
