"""ESC-10: the 400 clips of ESC-50 that are of its ten most distinct classes, in the same five folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.audio.esc import Esc

CLASSES = (
    "dog",
    "rooster",
    "rain",
    "sea_waves",
    "crackling_fire",
    "crying_baby",
    "sneezing",
    "clock_tick",
    "helicopter",
    "chainsaw",
)
"""In the order of their numbers in ESC-50."""


@dataclass(frozen=True)
class Esc10(Esc):
    """Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015. It is read from ESC-50, of
    which only these clips need to be there."""

    data: str = "ashraq/esc50"
    """Hub id, a folder of parquet files in the hub's form, or one with meta/esc50.csv and audio/."""

    name: ClassVar[str] = "esc10"
    classes: ClassVar = CLASSES
