"""CIFAR-10: 60,000 photographs of 32 x 32 pixels in 10 classes, 10,000 of them to test on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.images.cifar import Cifar

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Cifar10(Cifar):
    """Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009."""

    data: str = "uoft-cs/cifar10"
    """Hub id, a folder of parquet files in the hub's form, or one with cifar-10-batches-py."""

    name: ClassVar[str] = "cifar10"
    classes: ClassVar = CLASSES
    label_column: ClassVar[str] = "label"
    label_key: ClassVar[str] = "labels"
    pickles_folder: ClassVar[str] = "cifar-10-batches-py"
    pickles: ClassVar = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
