"""A folder with one subfolder for each class, or such folders below train/, validation/ and test/."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lora_ensemble.errors import DataError
from lora_ensemble.sources.carving import digest
from lora_ensemble.sources.folders import files_below, listed, subfolders
from lora_ensemble.sources.own import OwnRows
from lora_ensemble.sources.parts import part_of

TABLES = ("metadata", "labels")
"""Names, without ending, of tables that say what the files of a folder are."""


STRAY = " is in no folder of a class"
"""What is wrong with such a file, after its name."""


@dataclass(frozen=True)
class Kind:
    """What is looked for."""

    noun: str
    """In the plural, for messages."""
    suffixes: Sequence[str]
    """Endings of files that can be read, in lower case."""
    not_read: Sequence[str] = ()
    """Endings of files of this kind that cannot; they are not left out without a word."""


def table_in(root: Path) -> Path | None:
    """The file metadata.csv or labels.csv (.tsv, .jsonl, .parquet) of a folder; None where there is none."""
    files = [file for file in listed(root)[0] if file.suffix.lower() in (".csv", ".tsv", ".jsonl", ".parquet")]
    found = [file for file in files if file.stem.lower() in TABLES]
    if len(found) > 1:
        raise DataError(f"{root} has {' and '.join(file.name for file in found)}: expected one table of the labels")
    return found[0] if found else None


def read(root: Path, kind: Kind, group: str | None = None, labelled: bool = True) -> OwnRows:
    """All files of the kind, named by their paths; a class is the first folder, below that of a split where there is
    one. labelled: files outside of the folders of classes are `problems`. group: see `grouped`.

    Raises DataError for a folder that cannot be read, or has nothing of the kind."""
    own = OwnRows(str(root))
    others: list[str] = []
    for part, folder in _parts(root):
        for path in files_below(folder):
            inside = path.relative_to(folder).parts
            name, suffix = path.relative_to(root).as_posix(), path.suffix.lower()
            if suffix in kind.not_read:
                own.problems.append(f"{name} is in a format that cannot be read")
            elif suffix not in kind.suffixes or "__MACOSX" in inside:
                others.append(name)
            elif len(inside) == 1 and labelled and part != "test":
                own.problems.append(name + STRAY)
            else:
                _add(own, name, path, part, inside[0] if len(inside) > 1 else None)
    if not len(own) and not own.problems:
        there = f"{len(others)} other files, such as {others[0]}" if others else "no file at all"
        raise DataError(f"{root} has no {kind.noun} ({', '.join(kind.suffixes)}), but {there}")
    if group is not None:
        own.groups = [grouped(group, name) for name in own.ids]
    return own


def grouped(pattern: str, name: str) -> str:
    """What in a path says which files belong together: the match of a regular expression. Raises DataError where it is
    nowhere in the path."""
    found = re.search(pattern, name)
    if found is None:
        raise DataError(f"group = {pattern!r}: is nowhere in {name!r}")
    return found[0]


def file_digest(path: Path) -> str:
    """Of a file's content; of its name where it cannot be read, which decoding will say."""
    try:
        return digest([path.read_bytes()])
    except OSError:
        return digest([str(path)])


def _add(own: OwnRows, name: str, path: Path, part: str, label: str | None) -> None:
    own.ids.append(name)
    own.examples.append(path)
    own.parts.append(part)
    own.labels.append(label)
    own.content.append(file_digest(path))


def _parts(root: Path) -> list[tuple[str, Path]]:
    """The folders in which there are folders of classes, each with its split; the root itself with "".

    A folder is split where all its subfolders are named after splits. Raises DataError where some are and others are
    not, so that a split would pass for a class, or be left out."""
    if not root.is_dir():
        raise DataError(f"data = {str(root)!r}: expected a folder with one subfolder for each class")
    named = [(part_of(folder.name) or "", folder) for folder in subfolders(root) if folder.name != "__MACOSX"]
    parts = [part for part, _ in named if part]
    if not parts or not {"train", "test"} & set(parts):
        return [("", root)]
    if len(parts) < len(named) and {"train", "test"} <= set(parts):
        other = next(folder.name for part, folder in named if not part)
        raise DataError(f"{root} is split into {' and '.join(parts)}: {other!r} beside them is none")
    if len(parts) < len(named):
        return [("", root)]
    if twice := sorted({part for part in parts if parts.count(part) > 1}):
        raise DataError(f"{root} has two folders for the {twice[0]} split")
    return named
