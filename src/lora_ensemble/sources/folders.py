"""The files in a folder and below it, through symbolic links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lora_ensemble.errors import DataError


def files_below(root: Path) -> Iterator[Path]:
    """Every file that is not hidden, each folder's in the order of their names, folders after files.

    Links are followed (`Path.rglob` of Python 3.11 leaves them out, and with them whole classes), but a folder that is
    met again below the same subfolder of the root is taken once: links in circles end. A link to nowhere counts as a
    file, so that reading it fails. Raises DataError for a folder that cannot be read.
    """
    files, folders = listed(root)
    yield from files
    for folder in folders:
        yield from _below(folder, {os.path.realpath(root)})


def subfolders(root: Path) -> list[Path]:
    """The folders in a folder, links to folders included, by name; none that is hidden."""
    return listed(root)[1]


def listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files and the folders in a folder, each by name, real folders before links to folders."""
    files: list[Path] = []
    folders: list[Path] = []
    links: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith("."):
                    continue
                if not entry.is_dir():
                    files.append(folder / entry.name)
                else:
                    (links if entry.is_symlink() else folders).append(folder / entry.name)
    except OSError as error:
        raise DataError(f"folder {str(folder)!r} cannot be read: {error.strerror or error}") from error
    return files, [*folders, *links]


def _below(folder: Path, seen: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    files, folders = listed(folder)
    yield from files
    for inner in folders:
        yield from _below(inner, seen)
