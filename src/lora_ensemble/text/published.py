"""Published data sets of texts: rows with a label, named by their content, in the order of these names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lora_ensemble.contracts import Split
from lora_ensemble.errors import DataError, first_line
from lora_ensemble.sources.carving import digest
from lora_ensemble.sources.names import names
from lora_ensemble.text.own import MODALITY

Labelled = Sequence[tuple[str, str]]
"""A text, and the name of its class."""


def as_split(rows: Labelled, classes: Sequence[str], prefix: str, where: str) -> Split:
    """classes: none for rows whose labels say nothing. Raises DataError for an empty text and a label that is none of
    the classes."""
    index = {name: number for number, name in enumerate(classes)}
    for number, (text, label) in enumerate(rows):
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{where}, row {number}: no text")
        if classes and label not in index:
            raise DataError(f"{where}, row {number}: unknown label {label!r}")
    if not rows:
        raise DataError(f"{where} has no rows")
    content = [digest([text]) for text, _ in rows]
    order = sorted(range(len(rows)), key=lambda row: (content[row], rows[row][1]))
    return Split(
        examples=[{"text": rows[row][0]} for row in order],
        labels=np.array([index[rows[row][1]] for row in order], dtype=np.int64) if classes else None,
        ids=[f"{prefix}/{name}" for name in names([""] * len(order), [content[row] for row in order])],
        classes=list(classes),
        modality=MODALITY,
    )


def clinc_file(path: Path) -> dict[str, Labelled]:
    """The lists of the original JSON form. Raises DataError for what is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: [(str(text), str(intent)) for text, intent in found[name]] for name in CLINC_PARTS}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(
            f"{path} is no CLINC150: expected lists of [text, intent] named {', '.join(CLINC_PARTS)} "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error


CLINC_PARTS = ("train", "val", "test", "oos_train", "oos_val", "oos_test")


def tab_lines(path: Path) -> Labelled:
    """Lines of a text, a tab, and a label; no header."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        text, tab, label = line.rpartition("\t")
        if not tab:
            raise DataError(f"{path}, line {number}: expected a text, a tab, and a label")
        rows.append((text, label.strip()))
    return rows
