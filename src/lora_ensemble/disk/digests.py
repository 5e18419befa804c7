"""Digests: what tells a file, a record or tensors as they were written from what damage or an editor made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.errors import FileFormatError

if TYPE_CHECKING:
    from torch import Tensor

_KIND = "sha256"  # about 2 GB/s where the processor has instructions for it; `sha256sum FILE` gives the same
DIGEST = "digest"
"""The field of a record that holds the digest of all others, and of a safetensors file's metadata."""


def digest_of_bytes(*parts: bytes) -> str:
    """Of the parts one after another, as "sha256:" and 64 hexadecimal digits."""
    made = hashlib.new(_KIND)
    for part in parts:
        made.update(part)
    return f"{_KIND}:{made.hexdigest()}"


def digest_of_file(path: str | Path) -> str:
    """Of what is in a file, read in pieces. Raises FileFormatError for a file that is missing or cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return f"{_KIND}:{hashlib.file_digest(file, _KIND).hexdigest()}"
    except FileNotFoundError:
        raise FileFormatError(f"there is no file {path}") from None
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}") from None


def digest_of_json(value: Any) -> str:
    """Of JSON values, whatever the order of their keys."""
    return digest_of_bytes(json.dumps(value, sort_keys=True).encode())


def digest_of_tensors(tensors: Mapping[str, Tensor], *also: str) -> str:
    """Of names, shapes, types and contents, whatever the order of the names; and of the texts in `also`, in order.

    Tensors may be anywhere; those on a device are copied to memory one at a time.
    """
    import torch

    made = hashlib.new(_KIND)
    for text in also:
        made.update(f"{len(text.encode())} ".encode() + text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        made.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        flat = tensor.cpu().contiguous().reshape(-1).view(torch.uint8)
        made.update(flat.numpy().data if flat.numel() else b"")
    return f"{_KIND}:{made.hexdigest()}"


def digests_in(folder: Path, without: Iterable[str] = ()) -> dict[str, str]:
    """The digest of every file in a folder and the folders in it, by its path from there with slashes, sorted.

    without: such paths that are left out, as the manifest that holds the digests."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: digest_of_file(paths[name]) for name in sorted(paths.keys() - set(without))}


def check_file(path: Path, digest: str) -> None:
    """Raises FileFormatError, naming the file, where its contents are not those that the digest was made of."""
    kind = digest.partition(":")[0]
    if kind != _KIND:
        raise FileFormatError(f"the digest of {path} is of kind {kind!r}, this version knows {_KIND!r}")
    if digest_of_file(path) != digest:
        raise FileFormatError(f"{path} is damaged: its contents are not what was written (another digest)")


def check_files(folder: Path, digests: Any) -> None:
    """`check_file` of each file in a folder, by its path from there, as `digests_in` names them. None, as in what older
    versions wrote, is nothing to check."""
    if digests is None:
        return
    if not isinstance(digests, Mapping) or not all(isinstance(d, str) for d in digests.values()):
        raise FileFormatError(f"the digests of the files in {folder} are no mapping of paths to texts")
    for name, digest in digests.items():
        inside(folder, name)
        check_file(folder / name, digest)


def inside(folder: Path, name: str) -> Path:
    """The path of `name` in a folder. Raises FileFormatError for a name that leads out of it."""
    path = Path(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise FileFormatError(f"{name!r} is no path inside of {folder}")
    return folder / path


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the digest of its fields, by which an edit is seen. Raises ValueError for what is not JSON."""
    fields = {name: value for name, value in record.items() if name != DIGEST}
    # As it will be read: tuples become lists, and keys become texts.
    return {**fields, DIGEST: digest_of_json(json.loads(json.dumps(fields)))}


def check_seal(path: Path, record: Mapping[str, Any]) -> None:
    """Raises FileFormatError, naming the file, for a record that is not as `sealed` left it. One without a digest, as
    older versions wrote it, is taken as it is."""
    if DIGEST in record and sealed(record)[DIGEST] != record[DIGEST]:
        raise FileFormatError(f"{path} was changed after it was written: its digest is of other contents")
