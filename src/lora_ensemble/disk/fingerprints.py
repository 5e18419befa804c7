"""Fingerprints of data: what tells a data set from another one in the same place, by content and never by time.

A fingerprint has parts, each a file, a folder or a hub id by its name, so that an error can say which of them changed.

- A file: a digest of its contents.
- A folder: its parts are what lies in it; a file or folder within whose name begins or ends with that of a split
  (`data/train-00000.parquet`, `images/test/`) is a part of its own. Hidden files and folders, READMEs and licences are
  no data. Links are followed. Names and sizes of all files count. Contents count entirely up to `WHOLE` bytes in the
  folder; beyond that entirely for tables, up to `WHOLE` of them, and for the first, last and middle `PIECE` bytes of
  `SAMPLED` other files, evenly spread over their sorted names. A change of the same size between those pieces is the
  one that goes unseen.
- A hub id: the revision in the local cache, where there is one.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lora_ensemble.disk.digests import digest_of_bytes, digest_of_file, digest_of_json
from lora_ensemble.errors import DataError

WHOLE = 1 << 30
"""Bytes of a folder that are read entirely: half a second."""
SAMPLED, PIECE = 1000, 1 << 16
TABLES = {".csv", ".json", ".jsonl", ".parquet", ".tsv", ".txt"}
PARTS = 100
"""More parts than that are one, of the name "*"."""

_SPLIT = re.compile(r"(^|[-_.])(train|training|validation|valid|val|dev|test)([-_.]|$)")
_NO_DATA = re.compile(r"^\.|readme|licen[cs]e", re.IGNORECASE)
_OTHERS = re.compile(r"(^|[-_./])(validation|valid|val|test)([-_./]|$)")

_TEST = re.compile(r"(^|[-_./])test([-_./]|$)")

Entry = tuple[str, str, int, int]
"""Path from the folder with slashes, path on disk, size, and time of change: for the memory of digests alone."""


def fingerprint(data: str) -> dict[str, str]:
    """The digest of each part of what a field `data` names: a file, a folder or a hub id. Empty for what is nowhere to
    be found, as for a hub id that was never loaded here. Raises DataError for what cannot be read."""
    place = Path(data).expanduser()
    if not data:
        return {}
    if place.is_file():
        return {place.name: _digest(_entry(place, place.name))}
    if place.is_dir():
        return _of_folder(place)
    revision = _revision(data)
    return {} if revision is None else {data: f"revision {revision}"}


def of_rows(labels: Any, ids: Sequence[str], classes: Sequence[str], examples: Iterable[Mapping[str, Any]]) -> str:
    """The digest of a split that is in memory: arrays by their contents, all else as JSON."""
    parts = [json.dumps([None if labels is None else labels.tolist(), list(ids), list(classes)]).encode()]
    for example in examples:
        for name, value in example.items():
            array = hasattr(value, "tobytes")
            parts.append(f"{name} {value.dtype} {value.shape} ".encode() if array else f"{name} ".encode())
            parts.append(value.tobytes() if array else json.dumps(value).encode())
    return digest_of_bytes(*parts)


def changed(
    before: Mapping[str, str], now: Mapping[str, str], *, training: bool = False, validation: bool = False
) -> list[str]:
    """Names of the parts that differ, are new or are gone; none where one of both fingerprints is not known.

    training: without the parts that hold nothing to train on, by their names the test and the validation split; where
    nothing else would be left, with them. validation: the validation split counts, too."""
    if not before or not now:
        return []
    names = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    others = _TEST if validation else _OTHERS
    if training and any(not others.search(name) for name in before):
        names = [name for name in names if not others.search(name)]
    return names


def _of_folder(folder: Path) -> dict[str, str]:
    entries = sorted(_files(folder))
    parts: dict[str, list[Entry]] = {}
    for entry in entries:
        parts.setdefault(_part(entry[0]), []).append(entry)
    if len(parts) > PARTS:
        named = {name: files for name, files in parts.items() if _SPLIT.search(name.rstrip("/"))}
        rest = [entry for name, files in parts.items() if name not in named for entry in files]
        parts = {**named, "*": rest} if len(named) < PARTS else {"*": entries}
    contents = _contents(tuple(entries))
    return {
        name: digest_of_json([(path, size, contents.get(path)) for path, _, size, _ in files])
        for name, files in parts.items()
    }


def _part(path: str) -> str:
    """The name of the part that a file belongs to."""
    words = path.split("/")
    depth = next((i for i, word in enumerate(words) if _SPLIT.search(word.lower())), 0)
    return "/".join(words[: depth + 1]) + ("/" if depth + 1 < len(words) else "")


def _files(folder: Path) -> Iterator[Entry]:
    """Every file of a folder and those in it that counts. Raises DataError for a folder that cannot be read."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}")

    seen = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        seen.add(os.path.realpath(root))
        folders[:] = sorted(
            name
            for name in folders
            if not _NO_DATA.search(name) and os.path.realpath(os.path.join(root, name)) not in seen
        )
        for name in files:
            if not _NO_DATA.search(name) and os.path.isfile(path := os.path.join(root, name)):
                yield _entry(Path(path), Path(path).relative_to(folder).as_posix())


def _entry(path: Path, name: str) -> Entry:
    about = path.stat()
    return name, str(path), about.st_size, about.st_mtime_ns


@functools.lru_cache(maxsize=64)
def _contents(entries: tuple[Entry, ...]) -> dict[str, str]:
    """The digests of files whose contents count, by path; remembered while sizes and times stay as they are."""
    if sum(entry[2] for entry in entries) <= WHOLE:
        return {entry[0]: _digest(entry) for entry in entries}
    found, left, others = {}, WHOLE, []
    for entry in entries:
        if Path(entry[0]).suffix.lower() in TABLES and entry[2] <= left:
            found[entry[0]] = _digest(entry)
            left -= entry[2]
        else:
            others.append(entry)
    step = max(1, -(-len(others) // SAMPLED))
    return found | {entry[0]: _sample(entry) for entry in others[::step]}


@functools.lru_cache(maxsize=4096)
def _digest(entry: Entry) -> str:
    return digest_of_file(entry[1])


def _sample(entry: Entry) -> str:
    _, path, size, _ = entry
    try:
        with open(path, "rb") as file:
            pieces = []
            for start in (0, max(0, size // 2 - PIECE // 2), max(0, size - PIECE)):
                file.seek(start)
                pieces.append(file.read(PIECE))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return digest_of_bytes(*pieces)


def _revision(hub_id: str) -> str | None:
    """The commit of a data set in the local cache of the hub."""
    from huggingface_hub import constants

    cached = Path(constants.HF_HUB_CACHE) / f"datasets--{hub_id.replace('/', '--')}" / "refs" / "main"
    try:
        return cached.read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError):
        return None
