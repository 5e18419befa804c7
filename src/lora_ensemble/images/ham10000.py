"""The rows of HAM10000 in each of its forms: metadata, and where each image is."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from lora_ensemble.errors import DataError
from lora_ensemble.sources.folders import files_below
from lora_ensemble.sources.labels import shown
from lora_ensemble.sources.rows import EncodedImages, column, hub_rows, local_folder, parquet_files

if TYPE_CHECKING:
    import numpy as np

    import datasets

CLASSES = ("bkl", "nv", "df", "mel", "vasc", "bcc", "akiec")
"""In the order of their first appearance in the original metadata, which numbers the published labels."""

LONG_NAMES = {
    "benign_keratosis-like_lesions": "bkl",
    "melanocytic_nevi": "nv",
    "dermatofibroma": "df",
    "melanoma": "mel",
    "vascular_lesions": "vasc",
    "basal_cell_carcinoma": "bcc",
    "actinic_keratoses": "akiec",
}
"""What the hub's form calls the classes."""

METADATA = "HAM10000_metadata"
"""Start of the name of the metadata file."""

_SUFFIXES = {".jpg", ".jpeg", ".png"}
_COLUMNS = ("image_id", "lesion_id", "dx")
_OTHERS = ("dx_type", "age", "sex", "localization")
_WHOLE = 10015
_PLAIN = re.compile(r"[\w-]+")
_ORDER = "c73e9b9fe5894b87038d52f2c003d6424bd4b4f4092410c4108e835f7e794409"  # SHA-256 of the image ids, a line each


class Rows(NamedTuple):
    """One row per image, in the order of the source."""

    ids: list[str]
    lesions: list[str]
    labels: np.ndarray
    """(N,) int64, by CLASSES."""
    stored: Sequence[Any]
    """The images: files, or encoded."""
    columns: Mapping[str, Sequence[Any]] = MappingProxyType({})
    """What else the source says of them: the lesion, and of a person age, sex and place on the body."""

    def out_of_order(self) -> bool:
        """Whether these are all the images, in another order than that of the original metadata."""
        return len(self.ids) == _WHOLE and hashlib.sha256("\n".join(self.ids).encode()).hexdigest() != _ORDER


def read(data: str, in_order: bool) -> Rows:
    """All rows. in_order: in that of the original metadata, where the hub has them beside the data set; a folder that
    has them is always read in that order. Raises DataError for what is no HAM10000."""
    folder = local_folder(data)
    if folder is None:
        return _from_table(hub_rows(data), data, _hub_metadata(data) if in_order else None)
    metadata = min((f for f in folder.glob(f"{METADATA}*") if f.is_file()), default=None)
    if parquet_files(folder):
        return _from_table(hub_rows(data), data, metadata)
    if metadata is not None:
        return _from_files(metadata)
    raise DataError(
        f"data = {data!r}: no HAM10000 in this folder; expected {METADATA}.csv with the images in the folder or "
        "in folders below it, or parquet files"
    )


def _from_files(metadata: Path) -> Rows:
    ids, lesions, labels, said = _parsed(_csv(metadata), metadata)
    found = sorted(files_below(metadata.parent), reverse=True)
    files = {file.stem: file for file in found if file.suffix.lower() in _SUFFIXES}
    if not any(name in files for name in ids):
        raise DataError(
            f"none of the {len(ids)} images of {metadata} is in its folder or below; expected <image_id>.jpg"
        )
    return Rows(ids, lesions, labels, [files.get(name, metadata.with_name(f"{name}.jpg")) for name in ids], said)


def _from_table(rows: datasets.Dataset, data: str, metadata: Path | None) -> Rows:
    """metadata: the original one where it lies beside the table; it says which images there are, and their order."""
    there = [name for name in _OTHERS if name in rows.column_names]
    columns = {name: rows[column(rows, data, (name,))][:] for name in (*_COLUMNS, *there)}
    place = {name: row for row, name in reversed(list(enumerate(columns["image_id"])))}
    table = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    ids, lesions, labels, said = _parsed(table, data) if metadata is None else _parsed(_csv(metadata), metadata)
    images = EncodedImages(rows, column(rows, data, ("image", "img")), [place.get(name) for name in ids])
    return Rows(ids, lesions, labels, images, said)


def _hub_metadata(data: str) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(data, f"{METADATA}.csv", repo_type="dataset"))
    except EntryNotFoundError:
        return None


def _csv(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    lines = text.splitlines()
    reader = csv.DictReader(lines, delimiter="\t" if lines and "\t" in lines[0] else ",")
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}, only {', '.join(reader.fieldnames or ())}")
    return list(reader)


def _parsed(
    table: Iterable[Mapping[str, str]], where: object
) -> tuple[list[str], list[str], np.ndarray, dict[str, list[Any]]]:
    """Ids, lesions, labels and the other columns, each image once: the splits of the hub's form overlap."""
    import numpy as np

    once: dict[str, Mapping[str, str]] = {}
    for row in table:
        once.setdefault(row["image_id"], row)
    if strange := [name for name in once if not isinstance(name, str) or not _PLAIN.fullmatch(name)]:
        raise DataError(f"{where}: image_id {shown(strange[0])}: expected a name of letters, digits, - and _")
    codes = {name: LONG_NAMES.get(str(row["dx"]).lower(), str(row["dx"]).lower()) for name, row in once.items()}
    if wrong := [f"{once[name]['dx']!r} of {name}" for name, code in codes.items() if code not in CLASSES]:
        raise DataError(f"{where}: unknown dx {', '.join(wrong)}; expected one of {', '.join(CLASSES)}")
    labels = np.array([CLASSES.index(code) for code in codes.values()], dtype=np.int64)
    lesions = [str(row["lesion_id"]) for row in once.values()]
    said = {name: [row.get(name) for row in once.values()] for name in _OTHERS if any(name in r for r in once.values())}
    return list(once), lesions, labels, {"lesion_id": lesions, **said}
