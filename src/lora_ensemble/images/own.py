"""What data sets of a user's own images have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import UnknownNameError
from lora_ensemble.images.augment import Augmentation, augmentation
from lora_ensemble.images.decoding import looked_at
from lora_ensemble.sources.class_folders import Kind
from lora_ensemble.sources.own import OwnRows, divided, settle
from lora_ensemble.sources.parts import PARTS
from lora_ensemble.sources.tables import UTF_8

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jfif")
KIND = Kind("images", SUFFIXES, (".heic", ".heif", ".avif", ".dcm", ".raw", ".cr2", ".nef", ".dng", ".psd", ".svg"))
USUAL = ("image", "img", "picture", "photo", "image_path", "image_name", "image_id", "filepaths")


@dataclass(frozen=True)
class OwnImages(Dataset):
    """Images of any format and size; a backbone resizes them whole. What of the splits is not given is carved by
    content: a fifth for testing, a tenth for validation, the same for every image however many are added, copies of a
    file together."""

    data: str = ""
    """Where the images are."""
    label_column: str | None = None
    """Column of the labels in a table. Unset: found by its name, or the only one that is left."""
    split_column: str | None = None
    """Column of a table that says train, validation or test. Unset: `split`, where there is one."""
    group_column: str | None = None
    """Rows of a table with the same value in it are never in two of the splits that are carved: patients, lesions."""
    id_column: str | None = None
    """Column that names the rows of a table. Unset: `id`, or else the path is the name."""
    encoding: str = UTF_8
    """Of a table that is text: utf-8, latin-1, utf-16 ..."""
    skip_unreadable: bool = False
    """Leave out images that cannot be used, with a warning that counts them, instead of an error."""
    split_seed: int = 0
    """Another number carves other splits; not the seed of the training."""
    carve: bool = True
    """False: everything is the test split, with labels or without, as for an out-of-distribution set."""
    augmentation: tuple[Augmentation, ...] = ()
    """Random changes of training images: flip, in both directions, and rotate, by 0 to 180 degrees."""

    name: ClassVar[str]

    @property
    def splits(self) -> tuple[str, ...]:
        return PARTS if self.carve else ("test",)

    def problems(self) -> list[str]:
        return [] if self.split_seed >= 0 else [f"dataset.split_seed = {self.split_seed}: must be at least 0"]

    def load(self, split: str) -> Split:
        """With "train", the images of all splits are looked at, so that a run stops before training if one of them
        cannot be used.

        Raises UnknownNameError for a split that does not exist; DataError for columns that are in doubt, images that
        cannot be used, all counted and the first listed, and labels that are no classes."""
        if split not in self.splits:
            raise UnknownNameError(f"split of {self.name}", split, self.splits)
        own = self._read()
        settle(own, self.skip_unreadable)
        parts = divided(own, self.split_seed, self.carve)
        looked = range(len(own)) if split == "train" else parts.rows[split].tolist()
        images, good = looked_at(
            [own.examples[row] for row in looked],
            [own.ids[row] for row in looked],
            self.name,
            skip=self.skip_unreadable,
        )
        place = {looked[number]: at for at, number in enumerate(good)}
        rows = [row for row in parts.rows[split].tolist() if row in place]
        return Split(
            examples=images.take([place[row] for row in rows]),
            labels=None if parts.labels(split) is None else parts.labels_N[rows],
            ids=[own.ids[row] for row in rows],
            classes=parts.classes,
            modality=self.modality,
            augment=augmentation(self.augmentation) if split == "train" else None,
            columns=own.said_of(rows),
        )

    def _read(self) -> OwnRows:
        """All rows, their examples still encoded."""
        raise NotImplementedError


def pattern_problems(pattern: str | None) -> list[str]:
    """What is wrong with a regular expression of the field `group`."""
    try:
        re.compile(pattern or "")
    except re.error as error:
        return [f"dataset.group = {pattern!r}: is no regular expression ({error})"]
    return []
