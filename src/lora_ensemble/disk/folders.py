"""Folders that are there whole or not at all, whatever kills the process that writes them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lora_ensemble.errors import UserError

PARTIAL = ".partial-"
"""Prefix of a folder that is being written; nothing with it is ever read."""


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill. It becomes `path`, replacing it, when the block ends well, and is removed when it does not.

    Raises UserError, naming path and cause, where the disk is full or cannot be written to.
    """
    partial = path.with_name(PARTIAL + path.name)
    try:
        with readable_errors(path):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            yield partial
            publish(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish(partial: Path, path: Path) -> None:
    """Flush a finished folder to the disk, then give it its final name."""
    for file in sorted(partial.rglob("*")):
        if file.is_file():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder."""
    for left in [*folder.glob(PARTIAL + "*"), *folder.glob(".*.tmp")]:
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


@contextmanager
def readable_errors(path: Path) -> Iterator[None]:
    """Turn the ways in which a write fails into one UserError that names path and cause."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    except Exception as error:
        # safetensors and torch.save report a failed write in their own ways.
        of_torch = any(words in str(error) for words in ("inline_container", "iostream error"))
        if type(error).__name__ != "SafetensorError" and not of_torch:
            raise
        raise UserError(f"cannot write {path}: the disk is full or refuses the file") from error
