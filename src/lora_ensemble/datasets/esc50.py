"""ESC-50: 2,000 clips of environmental sounds, 5 s each, in 50 classes and five official folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lora_ensemble.audio.esc import Esc
from lora_ensemble.audio.esc_rows import CLASSES


@dataclass(frozen=True)
class Esc50(Esc):
    """Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015."""

    data: str = "ashraq/esc50"
    """Hub id, a folder of parquet files in the hub's form, or one with meta/esc50.csv and audio/."""

    name: ClassVar[str] = "esc50"
    classes: ClassVar = CLASSES
