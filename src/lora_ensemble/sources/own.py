"""A user's own rows, whatever they hold: labels become classes, splits are those given, and the others are carved."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lora_ensemble.errors import DataError
from lora_ensemble.sources.carving import SHARES, carved, joined
from lora_ensemble.sources.classes import classes_of, plain_label
from lora_ensemble.sources.labels import shown, some_of
from lora_ensemble.sources.parts import PARTS

if TYPE_CHECKING:
    import numpy as np


@dataclass
class OwnRows:
    """Rows as they are read, one list for each thing that is known of them."""

    where: str
    """What they come from, for messages."""
    ids: list[str] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    """As the source has them; None for a row without."""
    parts: list[str] = field(default_factory=list)
    """train, validation or test, where the source says so, or ""."""
    groups: list[str] = field(default_factory=list)
    """What must stay together; empty where no column says so."""
    content: list[str] = field(default_factory=list)
    """Digests; equal for copies."""
    examples: list[Any] = field(default_factory=list)
    """What a row holds: encoded images, texts, ..."""
    class_names: Sequence[str] | None = None
    """Where labels are indices and the source names them."""
    problems: list[str] = field(default_factory=list)
    """Rows that cannot be used, and are not among the others."""
    columns: dict[str, list[Any]] = field(default_factory=dict)
    """What else a table says of the rows; None where it says nothing."""

    def __len__(self) -> int:
        return len(self.ids)

    def note(self, row: Mapping[str, Any], content: Collection[str | None]) -> None:
        """Keep what a table says of the row that was added last, beside its content."""
        for name, value in row.items():
            if name not in content and isinstance(value, str | int | float):
                self.columns.setdefault(name, [None] * (len(self) - 1)).append(value)
        for values in self.columns.values():
            values += [None] * (len(self) - len(values))

    def said_of(self, rows: Sequence[int]) -> dict[str, list[Any]]:
        """The columns, of some of the rows."""
        return {name: [values[row] for row in rows] for name, values in self.columns.items()}


@dataclass(frozen=True)
class Divided:
    """The rows in their splits."""

    rows: dict[str, np.ndarray]
    """Row numbers of each split, in the order of the ids."""
    labels_N: np.ndarray
    """(N,) int64; -1 for a row without a label."""
    classes: list[str]

    def labels(self, split: str) -> np.ndarray | None:
        """(N,) int64 of a split, or None where it has none."""
        labels = self.labels_N[self.rows[split]]
        return None if (labels < 0).all() else labels


def divided(own: OwnRows, seed: int, carve: bool = True) -> Divided:
    """carve: split what is not split; otherwise everything is for testing, with labels or without.

    Duplicates, and classes that are not in every split, are warned of. Raises DataError for labels that are no classes
    and for a split without rows."""
    import numpy as np

    if not len(own):
        raise DataError(f"{own.where} has no rows that can be used")
    labels = [plain_label(label) for label in own.labels]
    if not carve:
        own.parts = ["test"] * len(own)
    classes = [] if not carve and not any(labels) else _classes(labels, own)
    index = {name: number for number, name in enumerate(classes)}
    labels_N = np.array([-1 if label is None else _index(label, index, own) for label in labels], dtype=np.int64)
    rows = _in_parts(own, labels_N, seed) if carve else {"test": np.arange(len(own))}
    _check(own, rows, labels_N, classes, carve)
    return Divided({part: _by_id(own, found) for part, found in rows.items()}, labels_N, classes)


def settle(own: OwnRows, skip: bool) -> None:
    """What cannot be used is an error, or, where it is to be skipped, a warning; both count it and list the first."""
    if not own.problems:
        return
    total = len(own) + len(own.problems)
    said = f"{len(own.problems)} of {total} rows of {own.where} cannot be used: {some_of(own.problems, 5)}"
    if not skip:
        raise DataError(f"{said}; dataset.skip_unreadable leaves them out")
    warnings.warn(f"{said}; left out", stacklevel=3)


def _classes(labels: Sequence[str | None], own: OwnRows) -> list[str]:
    if own.class_names is None:
        return classes_of(labels, own.where)
    if len(own.class_names) < 2:
        raise DataError(f"{own.where} has {len(own.class_names)} classes: expected at least two")
    return list(own.class_names)


def _index(label: str, index: dict[str, int], own: OwnRows) -> int:
    if own.class_names is None:
        return index[label]
    if label.isdecimal() and int(label) < len(index):
        return int(label)
    if label in index:
        return index[label]
    raise DataError(f"{own.where}: label {shown(label)} is no index of the {len(index)} classes that it names")


def _in_parts(own: OwnRows, labels_N: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Row numbers of the three splits: those that are given; the others carved from what is given for training."""
    import numpy as np

    parts_N = np.array(own.parts)
    given = {part: np.flatnonzero(parts_N == part) for part in PARTS if part in set(own.parts)}
    if given and len(rest := np.flatnonzero(parts_N == "")):
        raise DataError(f"{own.where}: {len(rest)} rows name no split, such as {own.ids[rest[0]]!r}, and others do")
    if given and "train" not in given:
        raise DataError(
            f"{own.where} has {' and '.join(given)} and nothing to train on; for testing: dataset.carve false"
        )
    pool = given.get("train", np.arange(len(own)))
    for part, found in {**given, "train": pool}.items():
        _check_labelled(own, found, labels_N, may_lack_all=part == "test")
    wanted = {part: share for part, share in SHARES.items() if part == "train" or part not in given}
    shares = {part: share for part, share in wanted.items() if part != "train"}
    shares["train"] = 1 - sum(shares.values())
    keys = joined(own.groups, own.content) if own.groups else own.content
    inner = carved([keys[row] for row in pool], labels_N[pool], shares, seed)
    return {part: pool[inner[part]] if part in inner else given[part] for part in PARTS}


def _check_labelled(own: OwnRows, rows: np.ndarray, labels_N: np.ndarray, may_lack_all: bool) -> None:
    unlabelled = rows[labels_N[rows] < 0]
    if not len(unlabelled) or (may_lack_all and len(unlabelled) == len(rows)):
        return
    named = some_of([own.ids[row] for row in unlabelled], 5)
    raise DataError(
        f"{len(unlabelled)} of {len(rows)} rows of {own.where} have no label: {named}; leave them out, or keep them "
        "for `predict --input`"
    )


def _check(
    own: OwnRows, rows: dict[str, np.ndarray], labels_N: np.ndarray, classes: Sequence[str], carve: bool
) -> None:
    """Say what is strange. Raises DataError for a split that has no rows."""
    _say_copies(own, rows, labels_N)
    if not carve:
        return
    per_class = {name: int((labels_N == number).sum()) for number, name in enumerate(classes)}
    rare = [f"{shown(name)} ({n})" for name, n in sorted(per_class.items(), key=lambda item: item[1])]
    for part, found in rows.items():
        if not len(found):
            raise DataError(
                f"{own.where} has too few rows for a {part} split: {len(own)} in {len(classes)} classes, of which the "
                f"fewest are {some_of(rare, 10)}"
            )
    _say_missing(own, rows, labels_N, classes)


def _say_copies(own: OwnRows, rows: dict[str, np.ndarray], labels_N: np.ndarray) -> None:
    part_of = {row: part for part, found in rows.items() for row in found.tolist()}
    homes: dict[str, set[str]] = {}
    labels: dict[str, set[int]] = {}
    for row, content in enumerate(own.content):
        homes.setdefault(content, set()).add(part_of[row])
        labels.setdefault(content, set()).add(int(labels_N[row]))
    if len(homes) == len(own):
        return
    across = sum(len(home) > 1 for home in homes.values())
    said = f"{across} of them are in several of the splits that were given" if across else "each in one split"
    if torn := sum(len(found) > 1 for found in labels.values()):
        said += f"; {torn} have copies with another label"
    warnings.warn(f"{own.where} has {len(own) - len(homes)} copies of other rows, {said}", stacklevel=5)


def _say_missing(own: OwnRows, rows: dict[str, np.ndarray], labels_N: np.ndarray, classes: Sequence[str]) -> None:
    said = []
    for part, found in rows.items():
        there = set(labels_N[found].tolist())
        missing = [shown(name) for number, name in enumerate(classes) if number not in there]
        if there == {-1} or not missing:
            continue
        if part == "train":
            raise DataError(f"{own.where} has nothing to train on for {len(missing)} classes: {some_of(missing)}")
        said.append(f"no row of {some_of(missing, 10)} in the {part} split")
    if said:
        warnings.warn(f"{own.where} has too few rows of some classes: {'; '.join(said)}", stacklevel=5)


def _by_id(own: OwnRows, rows: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.array(sorted(rows.tolist(), key=lambda row: own.ids[row]), dtype=np.int64)
