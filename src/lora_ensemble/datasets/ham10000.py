"""HAM10000: 10,015 dermatoscopic images of 7,470 skin lesions, in 7 classes of which one has two thirds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.images.augment import Augmentation, augmentation
from lora_ensemble.images.decoding import checked, some
from lora_ensemble.images.ham10000 import CLASSES, METADATA, Rows, read
from lora_ensemble.sources.splits import VALIDATION, carve

if TYPE_CHECKING:
    import numpy as np

TEST = 0.2
"""Share of the test split."""


@dataclass(frozen=True)
class Ham10000(Dataset):
    """Tschandl et al., "The HAM10000 dataset", Scientific Data 2018. Images are uint8 (H, W, 3), named by their
    image_id, and every split is in the order of these names.

    A fifth is for testing and, unless `protocol` is "published", a tenth of the rest for validation, stratified by
    class. These splits follow from names, labels and `split_seed`, so they are the same from every form of the data.
    The published split by image follows from the order of the original metadata, too."""

    data: str = "marmal88/skin_cancer"
    """Hub id, a folder of parquet files in the hub's form, or one with HAM10000_metadata.csv and the image folders."""
    protocol: Literal["validation", "published"] = "validation"
    """Training, validation and test split, or training and test split as published."""
    grouped: bool = False
    """Split by lesion, so that no lesion has images in two splits. Otherwise by image, as published."""
    split_seed: int = 0
    """Seed of the split, not of the training; the published split by image has its own."""
    augmentation: tuple[Augmentation, ...] = ("flip", "rotate")
    """Random changes of training images: flip, in both directions, and rotate, by 0 to 180 degrees."""

    name: ClassVar[str] = "ham10000"

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "validation", "test") if self.protocol == "validation" else ("train", "test")

    def problems(self) -> list[str]:
        return [] if self.split_seed >= 0 else [f"dataset.split_seed = {self.split_seed}: must be at least 0"]

    def load(self, split: str) -> Split:
        """With "train", the images of all splits are looked at, so that the run stops before training if one of them
        cannot be used.

        Raises UnknownNameError for a split that does not exist, DataError that lists all images that are missing or
        unreadable, or for metadata that cannot be used."""
        if split not in self.splits:
            raise UnknownNameError(f"split of {self.name}", split, self.splits)
        rows = read(self.data, in_order=self.protocol == "published")
        chosen = sorted(self._rows(rows, split), key=lambda row: rows.ids[row])
        ids = [rows.ids[row] for row in chosen]
        if split == "train":
            images = checked(rows.stored, rows.ids, self.name).take(chosen)
        else:
            images = checked(some(rows.stored, chosen), ids, self.name)
        return Split(
            examples=images,
            labels=rows.labels[chosen],
            ids=ids,
            classes=CLASSES,
            modality=self.modality,
            augment=augmentation(self.augmentation, aspect=4 / 3) if split == "train" else None,
            columns={name: [values[row] for row in chosen] for name, values in rows.columns.items()},
        )

    def _rows(self, rows: Rows, split: str) -> np.ndarray:
        if self.protocol == "published" and not self.grouped:
            return self._published(rows)[split]
        held_out = VALIDATION * (1 - TEST) if self.protocol == "validation" else 0.0
        shares = {"test": TEST, "validation": held_out, "train": 1 - TEST - held_out}
        return carve(rows.lesions if self.grouped else rows.ids, rows.labels, shares, self.split_seed)[split]

    def _published(self, rows: Rows) -> dict[str, np.ndarray]:
        import numpy as np
        from sklearn.model_selection import train_test_split

        if rows.out_of_order():
            raise DataError(
                f"data = {self.data!r}: the published split follows from the order of the original metadata, "
                f"which these rows are not in; put {METADATA}.csv beside the data, or choose protocol validation"
            )
        everything = np.arange(len(rows.ids))
        try:
            train, test = train_test_split(everything, test_size=TEST, random_state=42, stratify=rows.labels)
        except ValueError as error:
            raise DataError(f"data = {self.data!r} cannot be split as published: {error}") from error
        return {"train": train, "test": test}
