"""Predictions as one safetensors file: tensors, and ids and meta as JSON in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lora_ensemble.disk.digests import DIGEST, digest_of_tensors
from lora_ensemble.disk.files import atomic_write
from lora_ensemble.errors import DataError, FileFormatError

if TYPE_CHECKING:
    from lora_ensemble.predictions.predictions import Predictions

FORMAT = "lora-ensemble-predictions"
VERSION = "1"


def write(p: Predictions, path: str | Path) -> None:
    """Atomically. Tensors `logits_MBC` and, where there are any, `labels_B` and `features_MBD`.

    Raises DataError for a `meta` that is not JSON, UserError for a file that cannot be written.
    """
    from safetensors.torch import save_file

    try:
        described = {"ids": json.dumps(p.ids), "meta": json.dumps(p.meta)}
    except TypeError as error:
        raise DataError(f"meta cannot be saved as JSON: {error}") from error
    known = {"logits_MBC": p.logits_MBC, "labels_B": p.labels_B, "features_MBD": p.features_MBD}
    tensors = {name: tensor.contiguous() for name, tensor in known.items() if tensor is not None}
    metadata = {"format": FORMAT, "version": VERSION, **described, DIGEST: _digest(tensors, described)}
    atomic_write(path, lambda temporary: save_file(tensors, temporary, metadata))


def read(path: str | Path) -> tuple[dict[str, Tensor], Any, Any]:
    """Tensors by name, ids and meta of what `write` wrote; whether they fit each other is not yet checked.

    Raises DataError for a missing file, FileFormatError for one truncated, foreign, of another version, or whose
    contents are not what was written. Files of older versions have no digest, and are taken as they are.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise DataError(f"there is no predictions file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_format(path, metadata)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if "logits_MBC" not in tensors:
            raise KeyError("logits_MBC")
        if DIGEST in metadata and _digest(tensors, metadata) != metadata[DIGEST]:
            raise FileFormatError(f"{path} is damaged: its contents are not what was written (another digest)")
        return tensors, json.loads(metadata["ids"]), json.loads(metadata["meta"])
    except FileFormatError:
        raise
    except SafetensorError as error:
        raise FileFormatError(f"{path} is truncated or not a safetensors file: {error}") from error
    except KeyError as error:
        raise FileFormatError(f"{path} is not a complete predictions file: {error} is missing") from error
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}") from error
    except (TypeError, ValueError, RecursionError) as error:  # broken JSON
        raise FileFormatError(f"{path} holds no usable predictions: {error}") from error


def _digest(tensors: Mapping[str, Tensor], described: Mapping[str, str]) -> str:
    return digest_of_tensors(tensors, described["ids"], described["meta"])


def _check_format(path: str | Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise FileFormatError(f"{path} is a safetensors file, but not one of predictions ({FORMAT})")
    if metadata.get("version") != VERSION:
        raise FileFormatError(f"{path} has version {metadata.get('version')}, this library reads {VERSION}")
