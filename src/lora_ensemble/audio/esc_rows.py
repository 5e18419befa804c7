"""The rows of ESC-50 in each of its forms: metadata, and where each clip is."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from lora_ensemble.audio.decoding import SUFFIXES
from lora_ensemble.errors import DataError, nearest
from lora_ensemble.sources.folders import files_below
from lora_ensemble.sources.rows import EncodedImages, column, hub_rows, local_folder, parquet_files

CLASSES = (
    "dog", "rooster", "pig", "cow", "frog", "cat", "hen", "insects", "sheep", "crow",
    "rain", "sea_waves", "crackling_fire", "crickets", "chirping_birds", "water_drops", "wind", "pouring_water",
    "toilet_flush", "thunderstorm",
    "crying_baby", "sneezing", "clapping", "breathing", "coughing", "footsteps", "laughing", "brushing_teeth",
    "snoring", "drinking_sipping",
    "door_wood_knock", "mouse_click", "keyboard_typing", "door_wood_creaks", "can_opening", "washing_machine",
    "vacuum_cleaner", "clock_alarm", "clock_tick", "glass_breaking",
    "helicopter", "chainsaw", "siren", "car_horn", "engine", "train", "church_bells", "airplane", "fireworks",
    "hand_saw",
)  # fmt: skip
"""By `target`: animals, nature, human sounds, indoors, outdoors, ten of each."""

FOLDS = (1, 2, 3, 4, 5)
METADATA = "esc50.csv"

_COLUMNS = ("filename", "fold", "target", "category", "src_file")


class Row(NamedTuple):
    """One clip."""

    id: str
    """Name of its file, without an ending."""
    file: str
    """Name of its file in the metadata."""
    fold: int
    category: str
    recording: str
    """Number of the recording on freesound.org that it was cut from."""


class Rows(NamedTuple):
    """Clips, in the order of their ids."""

    rows: list[Row]
    stored: Sequence[Any]
    """The recordings: files, or encoded."""
    where: str
    """Where they come from, for messages."""


def read(data: str, metadata: str) -> Rows:
    """All rows of a hub id or a folder; metadata: name of the file, which the hub's form has not. Raises DataError for
    what is no ESC-50."""
    folder = local_folder(data)
    if folder is not None:
        homes = (folder / "meta", folder, folder / "ESC-50-master" / "meta")
        for home in homes:
            if (home / metadata).is_file():
                return _from_files(home / metadata)
        if not parquet_files(folder):
            raise DataError(_nothing_here(data, metadata, homes))
    if metadata != METADATA:
        raise DataError(f"meta = {metadata!r}: only a folder with a file of this name in meta/ has it, not {data!r}")
    return _from_table(data)


def _from_files(metadata: Path) -> Rows:
    rows = _parsed(_csv(metadata), str(metadata))
    home = metadata.parent.parent if metadata.parent.name == "meta" else metadata.parent
    home = home / "audio" if (home / "audio").is_dir() else home
    rank = {suffix: place for place, suffix in enumerate(SUFFIXES)}
    found = [file for file in files_below(home) if file.suffix.lower() in rank]
    found.sort(key=lambda file: (-rank[file.suffix.lower()], file))
    files = {file.stem: file for file in found} | {file.name: file for file in found}
    if not any(row.id in files for row in rows):
        raise DataError(f"none of the {len(rows)} clips of {metadata} is in {home}; expected {rows[0].file} and so on")
    stored = [files.get(row.file) or files.get(row.id) or home / row.file for row in rows]
    return Rows(rows, stored, str(metadata))


def _from_table(data: str) -> Rows:
    table = hub_rows(data)
    columns = {name: table[column(table, data, (name,))][:] for name in _COLUMNS}
    place = {str(name): row for row, name in enumerate(columns["filename"])}
    lines = (dict(zip(columns, map(str, values), strict=True)) for values in zip(*columns.values(), strict=True))
    rows = _parsed(lines, f"data = {data!r}")
    stored = EncodedImages(table, column(table, data, ("audio",)), [place[row.file] for row in rows])
    return Rows(rows, stored, f"data = {data!r}")


def _csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    names = reader.fieldnames or ()
    if missing := [name for name in _COLUMNS if name not in names]:
        raise DataError(f"{path} has no column {', '.join(missing)}, only {', '.join(names)}")
    return lines


def _parsed(table: Iterable[Mapping[str, str | None]], where: str) -> list[Row]:
    """Checked rows in the order of their ids."""
    rows, wrong = [], []
    for line in table:
        file, fold, target, category, recording = (str(line[name]).strip() for name in _COLUMNS)
        if fold not in map(str, FOLDS):
            wrong.append(f"fold {fold!r} of {file} (expected 1 to {FOLDS[-1]})")
        elif file != PurePath(file).name or "\\" in file:
            wrong.append(f"filename {file!r} (expected a name without folders)")
        elif category not in CLASSES:
            near = nearest(category, CLASSES)
            wrong.append(f"category {category!r} of {file}" + (f" (nearest: {near[0]})" if near else ""))
        elif target != str(CLASSES.index(category)):
            wrong.append(f"target {target!r} of {file} (expected {CLASSES.index(category)} for {category})")
        else:
            rows.append(Row(Path(file).stem, file, int(fold), category, recording))
    wrong += [f"{name} twice" for name, times in Counter(row.id for row in rows).items() if times > 1]
    if wrong or not rows:
        raise DataError(f"{where} is no metadata of ESC-50: {', '.join(wrong) or 'it has no rows'}")
    return sorted(rows)


def _nothing_here(data: str, metadata: str, homes: Iterable[Path]) -> str:
    there = [file.name for home in homes if home.is_dir() for file in sorted(home.glob("*.csv"))]
    hint = f"; there are {', '.join(there)}" if there else ""
    return f"data = {data!r}: no ESC-50 in this folder; expected meta/{metadata} with audio/, or parquet files{hint}"
