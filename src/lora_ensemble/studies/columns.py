"""The group of each row of predictions: from a column of the run's data set, or from a table beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import DataError, did_you_mean
from lora_ensemble.runs.trained import Trained
from lora_ensemble.sources.columns import given, id_column
from lora_ensemble.sources.labels import some_of
from lora_ensemble.sources.tables import stream
from lora_ensemble.studies.folds.pooled import PooledFolds

if TYPE_CHECKING:
    from lora_ensemble.predictions import Predictions

LABEL = "label"
"""A column that every data set with labels has: the classes."""
MISSING = "(none)"
"""The group of rows of which the column says nothing."""


def groups_of(
    by: str, p: Predictions, runs: Sequence[Trained] = (), split: str = "test", dataset: Dataset | None = None
) -> list[str]:
    """The value of a column for each row of `p`, as text.

    by: COLUMN, of the data set that `runs` predicted (`dataset`, where it is another one), or COLUMN=FILE: a table with
    a column `id`, or, where table or predictions have no ids, with the rows in the same order. "label" is the class.
    Raises DataError for a column or rows that are not there."""
    name, of_file, file = by.partition("=")
    if of_file:
        return _of_table(Path(file), name, p)
    if name == LABEL and p.labels_B is not None:
        classes = p.meta.get("classes") or range(p.num_classes)
        return [str(classes[label]) for label in p.labels_B.tolist()]
    if not runs:
        raise DataError(f"--by {name}: a file of logits has no other columns; give a table, --by {name}=FILE")
    known: dict[str, Any] = {}
    for each in _datasets(runs[0], dataset):
        loaded = each.load(split)
        known |= zip(loaded.ids, _column(loaded, name, each.kind), strict=True)
    return _in_order(known, p, name, f"data set {runs[0].experiment.dataset.kind}")


def _datasets(run: Trained, dataset: Dataset | None) -> Iterator[Dataset]:
    """Those whose rows were predicted: one, or one for each fold."""
    if dataset is None and isinstance(run, PooledFolds):
        yield from (fold.experiment.dataset for fold in run.whole.runs.values())
    else:
        yield dataset or run.experiment.dataset


def _column(split: Split, name: str, kind: str) -> Sequence[Any]:
    if name in split.columns:
        return split.columns[name]
    there = [*split.columns, LABEL]
    raise DataError(
        f"data set {kind} has no column {name!r}, only {', '.join(there)}.{did_you_mean(name, there)} Any "
        f"other is given by a table: --by {name}=FILE"
    )


def _of_table(path: Path, name: str, p: Predictions) -> list[str]:
    rows = [row for _, row in stream(path)]
    if not rows:
        raise DataError(f"{path} has no rows")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    given(columns, name, "--by", str(path))
    key = id_column(columns, None, str(path))
    if key is None or p.ids is None:
        if len(rows) != len(p):
            raise DataError(
                f"{path} has {len(rows)} rows and no ids that say which; expected {len(p)}, one for each row"
            )
        return [_shown(row.get(name)) for row in rows]
    known = {str(row.get(key)): row.get(name) for row in rows}
    if len(known) < len(rows):
        raise DataError(f"{path}: {len(rows) - len(known)} of {len(rows)} rows have an id that another one has, too")
    return _in_order(known, p, name, str(path))


def _in_order(known: Mapping[str, Any], p: Predictions, name: str, where: str) -> list[str]:
    if p.ids is None:
        raise DataError(f"--by {name}: these predictions have no ids by which their rows are found in {where}")
    if lost := [row for row in p.ids if row not in known]:
        raise DataError(f"{where} says nothing of {len(lost)} of {len(p)} rows: {some_of(lost, 3)}")
    return [_shown(known[row]) for row in p.ids]


def _shown(value: Any) -> str:
    if value is None or value == "" or value != value:
        return MISSING
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
