"""CLINC150 in each of its forms: the original JSON file, and the hub's."""

from __future__ import annotations

from pathlib import Path

from lora_ensemble.errors import DataError
from lora_ensemble.sources.rows import hub_rows, local_path
from lora_ensemble.text.published import Labelled, clinc_file

HUB, CONFIG = "clinc/clinc_oos", "plus"
"""Its questions in scope are those of the whole set; of those out of scope it has more to train on."""

FILE = "data_full.json"
_HUB_PART = {"train": "train", "val": "validation", "test": "test"}
_OUT_OF_SCOPE = "oos"


def read(data: str, part: str, in_scope: bool) -> Labelled:
    """The questions of train, val or test, each with its intent."""
    path = local_path(data)
    if path is not None and (path.is_file() or (path / FILE).is_file()):
        return clinc_file(path if path.is_file() else path / FILE)[part if in_scope else f"{_OUT_OF_SCOPE}_{part}"]
    if path is not None and not any(Path(path).rglob("*.parquet")):
        raise DataError(
            f"data = {data!r}: no CLINC150 in this folder; expected {FILE}, or parquet files of the hub's form"
        )
    rows = hub_rows(data, _HUB_PART[part], CONFIG)
    names = rows.features["intent"].names
    named = zip(rows["text"], (names[number] for number in rows["intent"]), strict=True)
    return [(text, intent) for text, intent in named if (intent != _OUT_OF_SCOPE) == in_scope]


def intents(data: str) -> list[str]:
    """The 150 classes, in the order of the alphabet."""
    return sorted({intent for _, intent in read(data, "train", in_scope=True)})
