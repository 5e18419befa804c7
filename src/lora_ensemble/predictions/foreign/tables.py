"""Tables of logits or probabilities: CSV, TSV, parquet and JSONL, a row per sample (and member)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.errors import DataError
from lora_ensemble.predictions import table
from lora_ensemble.predictions.foreign import columnar, delimited, harness, lines
from lora_ensemble.predictions.foreign.found import IDS, LABELS, VALUES, Found, Wanted, named, there

if TYPE_CHECKING:
    import pandas as pd

MEMBER = "member"
_INDEX = ("", "unnamed: 0", "__index_level_0__")
_PREFIXES = {"p_": True, "prob_": True, "logit_": False, "logits_": False}

Read = Callable[[Sequence[str], Sequence[str]], "pd.DataFrame"]
"""From columns of numbers and columns of anything to the table."""


@dataclass(frozen=True)
class Roles:
    """Which column is what."""

    values: tuple[str, ...]
    classes: tuple[str, ...]
    are_probabilities: bool
    label: str | None
    id: str | None
    member: str | None
    lists: bool = False
    """Whether there is one column, each cell of which is a list."""


def read(path: Path, wanted: Wanted) -> Found:
    """Columns are found by their names: p_<class> or logit_<class>, or one column of lists, `logits` or `probs`; `id`,
    `label`, `member`. JSONL may be samples of lm-evaluation-harness."""
    if path.suffix.lower() == ".jsonl":
        records = lines.records_of(path)
        if harness.is_samples(records):
            return harness.found_in(records, wanted)
        return _found(*lines.opened(records), wanted)
    return _found(*_opened(path), wanted)


def read_labels(path: Path) -> tuple[Any, Sequence[str] | None]:
    """The labels of a table: the column of that name, or the only one; and ids, where there are any."""
    names, read_columns = _opened(path)
    own_id = named(names, IDS, "ids")
    rest = [name for name in names if name != own_id and name.lower() not in _INDEX]
    label = rest[0] if len(rest) == 1 else named(rest, LABELS, "labels")
    if label is None:
        raise DataError(f"which column are the labels? there are {', '.join(names)}")
    frame = read_columns([], [name for name in (label, own_id) if name is not None])
    return frame[label].tolist(), None if own_id is None else [str(name) for name in frame[own_id]]


def _opened(path: Path) -> tuple[list[str], Read]:
    if path.suffix.lower() == ".jsonl":
        return lines.opened(lines.records_of(path))
    return columnar.opened(path) if path.suffix.lower() == ".parquet" else delimited.opened(path)


def _found(names: Sequence[str], read_columns: Read, wanted: Wanted) -> Found:
    roles = _roles(names, wanted)
    rest = [name for name in (roles.label, roles.id, roles.member) if name is not None]
    if roles.lists:
        return _of_lists(read_columns([], [*roles.values, *rest]), roles)
    frame = read_columns(roles.values, rest)
    prefix = "p_" if roles.are_probabilities or wanted.probabilities else "logit_"
    renamed = dict(zip(roles.values, (f"{prefix}{name}" for name in roles.classes), strict=True))
    roles_of_rest = {roles.label: "label", roles.id: "id", roles.member: MEMBER}
    frame = frame.rename(columns={**renamed, **{a: b for a, b in roles_of_rest.items() if a is not None}})
    if wanted.members is not None and roles.member is None and wanted.members > 0 and not len(frame) % wanted.members:
        frame[MEMBER] = [m for m in range(wanted.members) for _ in range(len(frame) // wanted.members)]
    columns = table.columns_of(frame)
    values = columns.values_MBC if MEMBER in frame else columns.values_MBC[0]
    unnamed = list(roles.classes) == [str(c) for c in range(len(roles.classes))]
    return Found(values, columns.are_probabilities, columns.labels_B, columns.ids, None if unnamed else roles.classes)


def _roles(names: Sequence[str], wanted: Wanted) -> Roles:
    label = None
    if wanted.labelled:
        label = named(names, LABELS, "labels") if wanted.labels is None else there(names, wanted.labels, "column")
    own_id, member = named(names, IDS, "ids"), named(names, (MEMBER,), "members")
    taken = (label, own_id, member)
    rest = [name for name in names if name not in taken and name.lower() not in _INDEX]
    if wanted.columns:
        chosen = tuple(there(names, name, "column") for name in wanted.columns)
        if len(chosen) == 1 and chosen[0].lower() in VALUES:
            return Roles(chosen, (), VALUES[chosen[0].lower()], *taken, lists=True)
        return Roles(chosen, tuple(map(_without_prefix, chosen)), _all_probabilities(chosen), *taken)
    for prefix, probabilities in _PREFIXES.items():
        if chosen := tuple(name for name in rest if name.startswith(prefix)):
            return Roles(chosen, tuple(name.removeprefix(prefix) for name in chosen), probabilities, *taken)
    lists = sorted((name for name in rest if name.lower() in VALUES), key=lambda name: list(VALUES).index(name.lower()))
    if lists:
        return Roles((lists[0],), (), VALUES[lists[0].lower()], *taken, lists=True)
    if rest and rest == [str(c) for c in range(len(rest))]:
        return Roles(tuple(rest), tuple(rest), False, *taken)
    raise DataError(
        f"which columns are the logits? there are {', '.join(names) or 'none'}; "
        "name them logit_<class> or p_<class>, or say so with --columns"
    )


def _without_prefix(name: str) -> str:
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)


def _all_probabilities(names: Sequence[str]) -> bool:
    return all(any(name.startswith(prefix) for prefix, yes in _PREFIXES.items() if yes) for name in names)


def _of_lists(frame: pd.DataFrame, roles: Roles) -> Found:
    """A column of lists: C numbers a row, or M lists of them."""
    import numpy as np

    if roles.member is not None:
        raise DataError(f"has lists in column {roles.values[0]!r}, and a column {roles.member!r} beside it")
    try:
        cells = [np.asarray(_plain(cell), dtype=float) for cell in frame[roles.values[0]]]
        stacked = np.stack(cells)
    except (TypeError, ValueError) as error:
        raise DataError(f"column {roles.values[0]!r} holds no lists of equally many numbers: {error}") from None
    values = stacked.transpose(1, 0, 2) if stacked.ndim == 3 else stacked
    labels = None if roles.label is None else frame[roles.label].tolist()
    ids = None if roles.id is None else [str(name) for name in frame[roles.id]]
    return Found(values, roles.are_probabilities, labels, ids)


def _plain(cell: Any) -> Any:
    """Lists within lists, which parquet gives as arrays of arrays."""
    listed = cell.tolist() if hasattr(cell, "tolist") else cell
    return [_plain(part) for part in listed] if isinstance(listed, list) else listed
