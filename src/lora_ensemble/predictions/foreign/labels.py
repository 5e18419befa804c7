"""Labels of a foreign file: its own, those of another file, or an array; names of classes or class indices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lora_ensemble.errors import DataError
from lora_ensemble.predictions import table
from lora_ensemble.predictions.foreign import numpy_files, safetensors_files, tables

_ARRAYS = {".npy": numpy_files, ".npz": numpy_files, ".safetensors": safetensors_files}


def of_file(path: Path) -> tuple[Any, Sequence[str] | None]:
    """The labels in a file, and the ids beside them, if any."""
    kind = _ARRAYS.get(path.suffix.lower())
    return tables.read_labels(path) if kind is None else (kind.read_labels(path), None)


def in_order(labels: Any, own_ids: Sequence[str] | None, ids: Sequence[str] | None, where: str) -> Any:
    """Labels of a file by the ids of the logits, where both have some; else they are in the order of the rows."""
    if own_ids is None or ids is None:
        return labels
    of_id = dict(zip(own_ids, labels, strict=True))
    if len(of_id) < len(own_ids):
        twice = next(name for name in own_ids if list(own_ids).count(name) > 1)
        raise DataError(f"{where}: id {twice!r} occurs more than once")
    if missing := [name for name in ids if name not in of_id]:
        raise DataError(f"{where} has no label for id {missing[0]!r} ({len(missing)} missing)")
    return [of_id[name] for name in ids]


def indices(labels: Any, classes: Sequence[str] | None) -> Any:
    """Class indices of names, where classes have names; numbers stay. Raises DataError for texts without such names."""
    values = labels.tolist() if isinstance(labels, Tensor | np.ndarray) and labels.ndim == 1 else labels
    if not isinstance(values, Sequence) or isinstance(values, str):
        return labels
    if classes is not None and not any(isinstance(value, float) for value in values):
        return table.labels_of(list(values), list(classes))
    if texts := [value for value in values if isinstance(value, str)]:
        raise DataError(f"labels are texts ({texts[0]!r}), and the logits have no names of classes: give class indices")
    return np.asarray(values)
