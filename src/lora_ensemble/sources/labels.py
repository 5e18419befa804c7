"""Labels as class indices: whole numbers within the classes, and nothing that only looks like one."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lora_ensemble.errors import DataError

if TYPE_CHECKING:
    import numpy as np


def class_indices(labels: Sequence[Any], classes: int, where: str) -> np.ndarray:
    """(N,) int64. Raises DataError, naming the first row and its label, for one that is no whole number in 0 ..
    classes - 1."""
    import numpy as np

    for row, label in enumerate(labels):
        whole = isinstance(label, numbers.Integral) and not isinstance(label, bool | np.bool_)
        if not whole or not 0 <= int(label) < classes:
            raise DataError(
                f"{where}, row {row}: label {shown(label)}: expected a whole number from 0 to {classes - 1}, the "
                "index of a class"
            )
    return np.array([int(label) for label in labels], dtype=np.int64)


def shown(value: Any, most: int = 40) -> str:
    """A value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def some_of(problems: Sequence[str], most: int = 20) -> str:
    """The first of many problems, and how many more there are."""
    more = f", and {len(problems) - most} more" if len(problems) > most else ""
    return ", ".join(problems[:most]) + more
