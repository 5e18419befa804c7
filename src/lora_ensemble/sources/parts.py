"""Splits that a source names itself, in the words that people use for them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PARTS = ("train", "validation", "test")
"""The splits, by our names."""

WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""What each is called elsewhere."""

_PART_OF = {word: part for part, words in WORDS.items() for word in words}


def part_of(name: Any) -> str | None:
    """The split that a folder or a cell of a table names; None for any other word."""
    return _PART_OF.get(str(name).strip().lower())


def part_in(path: Path) -> str | None:
    """The split that the name of a file contains as a word: train.csv, data-val.jsonl, test-00000-of-00001.parquet."""
    words = re.split(r"[-_. ]+", path.name.lower())
    found = {_PART_OF[word] for word in words if word in _PART_OF}
    return found.pop() if len(found) == 1 else None
