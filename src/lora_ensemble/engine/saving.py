"""The files of a saved ensemble: a small manifest, one folder per member, tensors. `lora_ensemble.saved` loads it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lora_ensemble.disk.digests import check_files, check_seal, digests_in, inside
from lora_ensemble.disk.files import atomic_write
from lora_ensemble.disk.folders import readable_errors
from lora_ensemble.disk.records import check_types, read_object, write_record
from lora_ensemble.errors import FileFormatError, first_line

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble

MANIFEST = "ensemble.json"
FORMAT, VERSION = "lora-ensemble", 1
_MEMBER = re.compile(r"member-\d{3,}")

_FIELDS = {
    "kind": str,
    "method": str,
    "members": int,
    "first_member": int,
    "member_folders": list,
    "backbone": dict,
    "config": dict,
}
"""Fields of every manifest; newer ones have `files`, too: the digest of each file of the members."""


def member_folder(member: int) -> str:
    """Name of one member's folder."""
    return f"member-{member:03d}"


@contextmanager
def saving(folder: Path, member_folders: Sequence[str]) -> Iterator[None]:
    """Inside, an ensemble is written to `folder`, its manifest last: a folder without one is no ensemble, so that one
    that was half overwritten cannot be read. Member folders of an ensemble that was there before are removed. Raises
    UserError where the disk is full or cannot be written to."""
    with readable_errors(folder):
        for old in sorted(_listed(folder) - set(member_folders)):
            shutil.rmtree(folder / old, ignore_errors=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        yield


def _listed(folder: Path) -> set[str]:
    """The member folders that a manifest in the folder lists."""
    try:
        return {name for name in read_manifest(folder)["member_folders"] if _MEMBER.fullmatch(name)}
    except FileFormatError:
        return set()


def write_manifest(ensemble: Ensemble, folder: Path, member_folders: Sequence[str], config: dict[str, Any]) -> None:
    """What the folder holds, and which backbone it needs."""
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "kind": ensemble.kind,
        "method": ensemble.method,
        "members": ensemble.members,
        "first_member": ensemble.first_member,
        "member_folders": list(member_folders),
        "backbone": ensemble.source,
        "config": config,
        "files": {f"{m}/{name}": d for m in member_folders for name, d in digests_in(folder / m).items()},
    }
    base = ensemble.fingerprint()
    if base is not None:
        manifest["base"] = base
    write_record(folder / MANIFEST, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a saved ensemble, its own digest checked; the files of the members are not read.

    Raises FileFormatError for a folder that holds none, and for one that is damaged or of a newer version."""
    path = folder / MANIFEST
    manifest = read_object(path)
    if manifest.get("format") != FORMAT:
        raise FileFormatError(f"{path} is not a manifest of lora-ensemble")
    version = manifest.get("version")
    if type(version) is not int or version > VERSION:
        raise FileFormatError(f"{folder} was written in format {version!r}; this version reads up to {VERSION}")
    check_seal(path, manifest)
    check_types(path, manifest, _FIELDS)
    for name in manifest["member_folders"]:
        if not isinstance(name, str):
            raise FileFormatError(f"{path}: member_folders holds {name!r}, expected texts")
        inside(folder, name)
    return manifest


def check_saved(folder: Path) -> dict[str, Any]:
    """The manifest of a saved ensemble whose every file was seen to be whole, without a model.

    Raises FileFormatError for one that is not. What older versions saved has no digests: its files are read, and a
    number that changed goes unseen."""
    manifest = read_manifest(folder)
    if "files" in manifest:
        check_files(folder, manifest["files"])
        return manifest
    for name in manifest["member_folders"]:
        files = sorted(path for path in (folder / name).rglob("*") if path.is_file())
        if not any(path.suffix == ".safetensors" for path in files):
            raise FileFormatError(f"{folder / name} holds no weights")
        for path in files:
            if path.suffix == ".safetensors":
                read_tensors(path)
            elif path.suffix == ".json":
                read_object(path)
    return manifest


def local_folder(folder: str | Path, **kwargs: Any) -> Path:
    """The folder itself, or the downloaded snapshot of a hub repository."""
    if Path(folder).is_dir():
        return Path(folder)
    name = str(folder)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise FileFormatError(f"{name} is neither a folder nor the id of a hub repository (owner/name)")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, **kwargs))
    except HFValidationError as error:
        message = f"{name!r} is neither a folder nor the id of a hub repository: {first_line(error)}"
        raise FileFormatError(message) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise FileFormatError(f"{name} is no local folder, and the hub did not give it: {first_line(error)}") from error


def push_saved(ensemble: Ensemble, repo: str, private: bool, token: str | None) -> str:
    """Save to a temporary folder, and publish it as a repository of the hub. Raises UserError for what it refuses."""
    import tempfile

    from lora_ensemble.disk.hub import check_name, upload

    check_name(repo)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "ensemble"
        folder.mkdir()
        ensemble.save_pretrained(folder)
        return upload(folder, repo, private=private, token=token)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises FileFormatError for a file that is missing or is none."""
    return read_object(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises FileFormatError for one that is missing, truncated or foreign."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise FileFormatError(f"{path.parent} has no {path.name}") from None
    except (SafetensorError, OSError) as error:
        raise FileFormatError(f"{path} is not a complete safetensors file: {first_line(error)}") from None


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """A safetensors file, whole or not at all."""
    atomic_write(path, lambda temporary: save_file(tensors, temporary, metadata={"format": "pt"}))
