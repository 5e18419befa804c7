"""The 248 settings of the repository prs-eth/LoRA-Ensemble by name, and settings files of its form."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lora_ensemble.errors import FileFormatError, UserError, nearest
from lora_ensemble.interop.prs_eth.schema import check

TABLE = Path(__file__).parent / "published.csv"
"""A row for each settings file; a column for each value that is not the same in all of them; empty where absent."""


@dataclass(frozen=True)
class Settings:
    """One settings file: its values by section and key, as in "LoRA.rank"."""

    name: str
    """study/name, or the path of a file."""
    values: Mapping[str, Any]

    @property
    def short_name(self) -> str:
        """The name without the study or folder."""
        return Path(self.name).name.removesuffix(".json")

    def get(self, key: str, default: Any = None) -> Any:
        """A value, or the default where the settings do not have it."""
        return self.values.get(key, default)


def read_settings(name_or_path: str | Path) -> Settings:
    """Settings by name (with or without `.json`), by study/name, or from a file of their form.

    Raises UserError for a name that does not exist, with the nearest, and for one that stands in two studies, naming
    both; FileFormatError for a file that is no JSON object; ConfigurationError for keys and values that do not exist.
    """
    if Path(name_or_path).is_file():
        settings = Settings(str(name_or_path), _from_file(Path(name_or_path)))
    else:
        name = _full_name(str(name_or_path).removesuffix(".json"))
        settings = Settings(name, known()[name])
    check(settings.name, settings.values)
    return settings


@cache
def published() -> dict[str, dict[str, Any]]:
    """The values of every published settings file, by study/name."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {f"{row.pop('study')}/{row.pop('name')}": _typed(row) for row in csv.DictReader(file)}


@cache
def known() -> dict[str, dict[str, Any]]:
    """The published settings, and those of the snapshot ensembles, which the published tables name and whose files are
    not in the repository: the settings of the explicit ensemble with a cyclic learning rate."""
    cyclic = {"training.mode": "snapshot", "training.lr_schedule": "cyclic_cosine"}
    snapshots = {
        f"{study}_settings_Snapshot{seed}": published()[f"{study}_settings_explicit{seed}"] | cyclic
        for study in ("CIFAR100/final/CIFAR100", "HAM10000/final/HAM10000")
        for seed in range(1, 6)
    }
    return published() | snapshots


def _full_name(name: str) -> str:
    if name in known():
        return name
    found = [full for full in known() if full.endswith(f"/{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{name!r} stands in two studies, with different values: give {' or '.join(found)}")
    near = nearest(name, [n for full in known() for n in (full, full.split("/")[-1])], n=3)
    hint = f" Nearest: {', '.join(near)}." if near else ""
    raise UserError(f"no published settings and no file {name!r}.{hint} docs/published-settings.md lists all.")


def _typed(row: Mapping[str, str]) -> dict[str, Any]:
    """Cells as JSON values; what is no JSON is a text."""
    values = {}
    for key, cell in row.items():
        if cell:
            try:
                values[key] = json.loads(cell)
            except json.JSONDecodeError:
                values[key] = cell
    return values


def _from_file(path: Path) -> dict[str, Any]:
    try:
        sections = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FileFormatError(f"{path} is not JSON: {error}") from None
    if not isinstance(sections, dict) or not all(isinstance(values, dict) for values in sections.values()):
        raise FileFormatError(f"{path} is no settings file: expected sections, each with keys and values")
    return {
        f"{section.removesuffix('_settings')}.{key}": value
        for section, values in sections.items()
        for key, value in values.items()
    }
