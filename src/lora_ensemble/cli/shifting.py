"""`evaluate --shift`: scores against the severity of shifts, as text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lora_ensemble.printable import printable

if TYPE_CHECKING:
    from lora_ensemble.contracts import Dataset
    from lora_ensemble.predictions import Pooling


def shifts_shown(
    folders: Sequence[Path],
    words: str,
    split: str,
    dataset: Dataset | None,
    form: str,
    *,
    concat: bool = False,
    raw: bool = False,
    pooling: Pooling = "mean-of-probabilities",
) -> str:
    """Tables, or JSON, of each ensemble of the runs."""
    from lora_ensemble.analysis.shift_tables import by_severity, by_shift, shifts_json
    from lora_ensemble.studies.groups import by_experiment, ensembles
    from lora_ensemble.studies.shifted import followed_shifts

    chosen = ensembles(by_experiment(folders), concat)
    several = {label for label, _ in chosen if [other for other, _ in chosen].count(label) > 1}
    curves = {}
    for label, runs in chosen:
        print(f"scoring {printable(', '.join(str(run.folder) for run in runs))} after {words}", file=sys.stderr)
        name = f"{label} seed={runs[0].experiment.seed}" if label in several else label
        curves[name] = followed_shifts(runs, words, split, dataset, raw=raw, pooling=pooling)
    if form == "json":
        return shifts_json(curves)
    parts = [f"{label}, mean over shifts\n\n{by_severity(curve, form)}" for label, curve in curves.items()]
    if form == "latex":
        parts = [by_severity(curve, form) for curve in curves.values()]
    return "\n".join([*parts, by_shift(curves, form)])
