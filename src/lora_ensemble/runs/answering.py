"""A run's ensemble, calibration and validation predictions, made ready to answer new rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.answers.asked import Asked
from lora_ensemble.answers.deciding import Decider
from lora_ensemble.answers.stream import Answerer, options_for
from lora_ensemble.contracts import Split
from lora_ensemble.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from lora_ensemble.runs.run import Run


def answerer(run: Run, asked: Asked) -> Answerer:
    """Loads the ensemble. Raises what a promise on sets or on the risk raises where it cannot be given."""
    from lora_ensemble.runs.calibrated import validation_predictions

    decide = Decider.fitted(asked, run.calibrated, lambda: validation_predictions(run))
    backbone, ensemble = run.loaded()
    return Answerer(backbone, ensemble, run.experiment, run.classes, decide, run.about())


def answers(run: Run, rows: Any, asked: Asked, **options: Any) -> pd.DataFrame:
    """See `Run.answer`."""
    import pandas as pd

    ready = answerer(run, asked)
    options_ = options_for(run.experiment, **options)
    if isinstance(rows, str | Path):
        parts = list(ready.stream(rows, options_))
    elif rows and all(isinstance(row, str | Path) for row in rows) and run.experiment.backbone.modality != "text":
        parts = [part for path in rows for part in ready.stream(path, options_)]
    else:
        parts = [ready.answers(_split(rows, run.experiment.backbone.modality, run.classes))]
    if not parts:
        raise DataError(f"{rows!r}: there is nothing to answer in it")
    return pd.concat(parts, ignore_index=True)


def _split(rows: Sequence[Any], modality: str, classes: Sequence[str]) -> Split:
    """Rows in memory: examples as `contracts.Split` describes them; of texts also the texts themselves."""
    if isinstance(rows, bytes) or not isinstance(rows, Sequence) or not len(rows):
        raise DataError(f"rows are {type(rows).__name__}: expected a path, or a list of paths, texts or examples")
    examples = [{"text": row} if modality == "text" and isinstance(row, str) else row for row in rows]
    if wrong := next((row for row in examples if not isinstance(row, dict)), None):
        raise DataError(f"a row is a {type(wrong).__name__}: expected an example, such as {{{modality!r}: ...}}")
    return Split(examples, None, [str(number) for number in range(len(examples))], list(classes), modality)
