"""From a foreign file to what `Predictions` is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from lora_ensemble.errors import DataError, FileFormatError, UserError
from lora_ensemble.predictions.accept import members_of
from lora_ensemble.predictions.foreign import labels, layout, numpy_files, safetensors_files, tables
from lora_ensemble.predictions.foreign.found import Found, Wanted
from lora_ensemble.predictions.probabilities import are_like_probabilities

READERS = {
    ".safetensors": safetensors_files,
    ".npy": numpy_files,
    ".npz": numpy_files,
    ".parquet": tables,
    ".csv": tables,
    ".tsv": tables,
    ".jsonl": tables,
}

Labels = str | Path | Sequence[Any] | Tensor | Literal[False] | None
"""A file of labels, the name of an array or column, labels themselves, False for none, None for the file's own."""


@dataclass(frozen=True, eq=False)
class Read:
    """The arguments of `Predictions` or `Predictions.from_probs`."""

    values_MBC: Tensor
    are_probabilities: bool
    labels_B: Any
    ids: Sequence[str] | None
    meta: Mapping[str, Any]
    features: Any


def read(path: Path, given: Labels, probabilities: bool, members: int | None, columns: Sequence[str]) -> Read:
    """Raises DataError or FileFormatError, naming the file, for one that is missing, or is not what it should be."""
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: expected a file that ends in {', '.join(READERS)}")
    inside = given if isinstance(given, str) and not is_label_file(given) else None
    own = given is None or inside is not None
    try:
        found = reader.read(path, Wanted(inside, own, tuple(columns), probabilities, members))
        return _made(found, given if not own else None, probabilities, members)
    except UserError as error:
        if str(error).startswith(str(path)):
            raise
        kind = FileFormatError if isinstance(error, FileFormatError) else DataError
        raise kind(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def is_label_file(words: str) -> bool:
    """Whether `--labels` names a file, and not an array or column. Raises DataError for a file that is not there."""
    path = Path(words)
    if path.is_file():
        return True
    if path.suffix.lower() in READERS:
        raise DataError(f"there is no file {words}, of labels")
    return False


def _made(found: Found, given: Any, probabilities: bool, members: int | None) -> Read:
    values = layout.by_member(found.values, members)
    stacked = values if values.ndim == 3 else values[None]
    rows, count = (stacked.shape[1], stacked.shape[0]) if stacked.ndim == 3 else (len(stacked), 1)
    ids = layout.of_one_member(found.ids, rows, count, "id")
    labels_B = _labels(found.labels if given is None else given, ids, found.classes)
    layout.check_axes(values, labels_B)
    stacked = members_of(values, "logits")
    labels_B = layout.of_one_member(labels_B, rows, count, "the label")
    meta = dict(found.meta) if found.classes is None else {**found.meta, "classes": list(found.classes)}
    said = probabilities or found.are_probabilities
    if not said and not found.meta and are_like_probabilities(stacked):
        raise DataError(
            "in every row the values are at least 0 and sum to 1: they look like probabilities; "
            "say so with --probabilities (in Python probabilities=True)"
        )
    return Read(values, said and not found.meta, labels_B, ids, meta, found.features)


def _labels(given: Any, ids: Sequence[str] | None, classes: Sequence[str] | None) -> Any:
    if given is None or given is False:
        return None
    if not isinstance(given, str | Path):
        return labels.indices(given, classes)
    path = Path(given)
    if path.suffix.lower() not in READERS:
        raise DataError(f"labels {path}: expected a file that ends in {', '.join(READERS)}")
    try:
        values, own_ids = labels.of_file(path)
    except UserError as error:
        raise DataError(f"labels {path}: {error}") from None
    return labels.indices(labels.in_order(values, own_ids, ids, str(path)), classes)
