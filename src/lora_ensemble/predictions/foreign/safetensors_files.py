"""Files of safetensors: predictions that this library saved, and tensors that others did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lora_ensemble.errors import DataError, FileFormatError
from lora_ensemble.predictions import save
from lora_ensemble.predictions.foreign.arrays import found_in, only_labels
from lora_ensemble.predictions.foreign.found import Found, Wanted


def read(path: Path, wanted: Wanted) -> Found:
    """Of our own files everything, with their digest checked; of others, what the tensors' names say."""
    if not _is_ours(path):
        with _opened(path) as file:
            return found_in(_shapes(file), file.get_tensor, wanted)
    tensors, ids, meta = save.read(path)
    for what, given in (("array of labels", wanted.labels), ("array", ", ".join(wanted.columns))):
        if given:
            raise DataError(f"are predictions of this library, which have no {what} {given!r}")
    labels = tensors.get("labels_B") if wanted.labelled else None
    probabilities = meta.get("logits") == "log-probabilities" if isinstance(meta, dict) else False
    if wanted.probabilities and not probabilities:
        raise DataError("are predictions of this library, which holds logits")
    classes = meta.get("classes") if isinstance(meta, dict) else None
    return Found(tensors["logits_MBC"], False, labels, ids, classes, meta, tensors.get("features_MBD"))


def read_labels(path: Path) -> Any:
    """The labels of a file that holds nothing else, or names them."""
    with _opened(path) as file:
        return only_labels(_shapes(file), file.get_tensor)


def _is_ours(path: Path) -> bool:
    with _opened(path) as file:
        return (file.metadata() or {}).get("format") == save.FORMAT


def _shapes(file: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def _opened(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise FileFormatError(f"is truncated or no file of safetensors: {error}") from None
