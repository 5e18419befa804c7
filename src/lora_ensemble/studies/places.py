"""Which files and folders of this machine experiments read: what other machines have to see as well."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lora_ensemble.contracts import Dataset
from lora_ensemble.experiment import Experiment


def read_by(experiments: Iterable[Experiment], datasets: Iterable[Dataset] = ()) -> list[Path]:
    """Data and pretrained weights that lie here, each once; what has a hub's name is found anywhere."""
    parts: list[Any] = [*datasets]
    for experiment in experiments:
        parts += [experiment.dataset, experiment.backbone]
    texts = [getattr(part, field.name) for part in parts for field in dataclasses.fields(part)]
    names = dict.fromkeys(text for text in texts if isinstance(text, str) and text)
    return [path for name in names if _exists(path := Path(name).expanduser())]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a text that cannot be a path
        return False
