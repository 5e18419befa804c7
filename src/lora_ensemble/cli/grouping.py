"""`evaluate --by COLUMN`: scores of each group of rows, and the worst group, as text."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lora_ensemble.cli.scored import Scored
from lora_ensemble.printable import printable

if TYPE_CHECKING:
    from lora_ensemble.contracts import Dataset
    from lora_ensemble.predictions import Pooling


def groups_shown(
    given: Iterable[Scored],
    by: str,
    scores: Sequence[str],
    form: str,
    *,
    split: str = "test",
    dataset: Dataset | None = None,
    raw: bool = False,
    pooling: Pooling = "mean-of-probabilities",
) -> str:
    """A table of each ensemble, or JSON of all. by: COLUMN, or COLUMN=FILE."""
    from lora_ensemble.analysis import evaluate_groups
    from lora_ensemble.analysis.group_tables import GroupScores, groups_json
    from lora_ensemble.analysis.raw_and_calibrated import evaluate_both
    from lora_ensemble.studies.columns import groups_of

    found = {}
    for each in given:
        groups = groups_of(by, each.predictions, each.runs, split, dataset)
        print(f"scoring {printable(each.label)}: {len(set(groups))} groups by {printable(by)}", file=sys.stderr)
        calibration = None if raw else each.calibration
        whole = evaluate_both(each.predictions, calibration=calibration, pooling=pooling)
        parts = evaluate_groups(each.predictions, groups, calibration=calibration, pooling=pooling)
        found[each.label] = GroupScores(by.partition("=")[0], whole, parts)
    if form == "json":
        return groups_json(found)
    tables = {label: scored.table(form, scores) for label, scored in found.items()}
    if len(tables) == 1 or form == "latex":
        return "\n".join(tables.values())
    return "\n".join(f"{label}\n\n{table}" for label, table in tables.items())
