"""SVHN: digits of house numbers, photographed in the street, 32 x 32 pixels; out of distribution for CIFAR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.images.content import by_content, from_hub
from lora_ensemble.sources.labels import class_indices
from lora_ensemble.sources.rows import local_folder

if TYPE_CHECKING:
    import numpy as np

MATLAB = "test_32x32.mat"


@dataclass(frozen=True)
class Svhn(Dataset):
    """Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning", 2011: the test split of the
    cropped digits. Images are uint8 (32, 32, 3), named by their pixels and, in every form, in the order of these names.
    """

    data: str = "ufldl-stanford/svhn"
    """Hub id, a folder of parquet files in the hub's form (with labels or without), or one with test_32x32.mat."""

    @property
    def splits(self) -> tuple[str, ...]:
        return ("test",)

    def load(self, split: str) -> Split:
        """The test split, with labels where the source has them. Raises UnknownNameError for any other split, DataError
        for data that are missing or unreadable."""
        if split not in self.splits:
            raise UnknownNameError("split of svhn", split, self.splits)
        folder = local_folder(self.data)
        if folder is not None and (folder / MATLAB).is_file():
            found = by_content(*_matlab(folder / MATLAB))
        else:
            images, labels = from_hub(self.data, "test", "svhn", "label", config="cropped_digits")
            if labels is not None:
                labels = class_indices(labels, 10, f"data = {self.data!r}").tolist()
            found = by_content(images, labels)
        return Split(
            examples=found.images,
            labels=found.labels,
            ids=[f"svhn/test/{name}" for name in found.names],
            classes=[] if found.labels is None else [str(digit) for digit in range(10)],
            modality=self.modality,
        )


def _matlab(path: Path) -> tuple[Sequence[np.ndarray], list[int]]:
    """Images and labels of the original form, in which the digit 0 has the label 10."""
    import numpy as np
    from scipy.io import loadmat

    try:
        values = loadmat(path)
        images_NHWC = np.ascontiguousarray(values["X"].transpose(3, 0, 1, 2))
        return list(images_NHWC), [int(label) % 10 for label in values["y"].ravel()]
    except Exception as error:  # a damaged file can raise anything
        raise DataError(f"{path} cannot be read: {error}") from error
