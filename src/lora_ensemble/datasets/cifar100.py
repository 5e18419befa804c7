"""CIFAR-100: 60,000 photographs of 32 x 32 pixels in 100 classes, 10,000 of them to test on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.images.cifar import Cifar

_NAMES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
    """

CLASSES = tuple(_NAMES.split())
"""The fine classes, in alphabetical order."""


@dataclass(frozen=True)
class Cifar100(Cifar):
    """Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; with its fine labels."""

    data: str = "uoft-cs/cifar100"
    """Hub id, a folder of parquet files in the hub's form, or one with cifar-100-python."""

    name: ClassVar[str] = "cifar100"
    classes: ClassVar = CLASSES
    label_column: ClassVar[str] = "fine_label"
    label_key: ClassVar[str] = "fine_labels"
    pickles_folder: ClassVar[str] = "cifar-100-python"
    pickles: ClassVar = {"train": ("train",), "test": ("test",)}
