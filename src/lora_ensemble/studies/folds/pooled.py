"""A cross-validation in the place of a run: what is scored, compared and reported takes either."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.contracts import Dataset, Shift
from lora_ensemble.errors import UserError
from lora_ensemble.experiment import Experiment
from lora_ensemble.runs.run import Run
from lora_ensemble.runs.trained import Trained
from lora_ensemble.studies.folds.calibrated import FoldCalibration
from lora_ensemble.studies.folds.read import RECORD, CrossValidation

if TYPE_CHECKING:
    from lora_ensemble.predictions import Predictions


def opened(folder: str | Path) -> Trained:
    """The run in a folder, or its cross-validation as one. Raises RunFolderError where there is neither."""
    return PooledFolds(folder) if (Path(folder) / RECORD).is_file() else Run(folder)


def fold_by_fold(ensembles: Sequence[tuple[str, list[Trained]]]) -> list[tuple[str, list[Trained]]]:
    """Each fold of a cross-validation as an ensemble of its own, under the same label; other runs as they are."""
    found: list[tuple[str, list[Trained]]] = []
    for label, (run, *others) in ensembles:
        folds = run.whole.runs.values() if isinstance(run, PooledFolds) and not others else ()
        found += [(label, [fold]) for fold in folds] or [(label, [run, *others])]
    return found


@dataclass(frozen=True)
class _OverFolds(Experiment):
    """An experiment that differs from the same one on one fold, and on other folds."""

    folds: tuple[int, ...] = ()

    def determining(self) -> dict[str, Any]:
        values = super().determining()
        values.pop("dataset.fold")
        return values | {"folds": ", ".join(map(str, self.folds))}


class PooledFolds:
    """A cross-validation whose test set is that of all folds, each row with the logits of the ensemble that was not
    trained on it. On any other rows the folds are different ensembles: asking for them raises UserError."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.whole = CrossValidation(folder)

    @property
    def experiment(self) -> Experiment:
        given = self.whole.experiment
        return _OverFolds(**{f.name: getattr(given, f.name) for f in fields(Experiment)}, folds=tuple(self.whole.runs))

    @property
    def finished(self) -> bool:
        return self.whole.finished

    @property
    def cost(self) -> dict[str, Any]:
        return self.whole.cost

    @property
    def classes(self) -> list[str]:
        return self.whole.classes

    @property
    def calibrated(self) -> FoldCalibration | None:
        """Each row by the calibration of its own fold; None where a fold has none."""
        found = {fold: run.calibrated for fold, run in self.whole.runs.items()}
        of_fold = {fold: calibration for fold, calibration in found.items() if calibration is not None}
        if len(of_fold) < len(found):
            return None
        return FoldCalibration.of(of_fold, {fold: p.ids or () for fold, p in self.whole.predict().items()})

    def predict(
        self,
        split: str = "test",
        dataset: Dataset | None = None,
        *,
        step: int | None = None,
        epoch: int | None = None,
        features: bool = False,
    ) -> Predictions:
        if dataset is not None or split != "test" or step is not None or features:
            raise self._not_one()
        return self.whole.pooled("last" if epoch is None else epoch)

    def predict_shifts(
        self, shifts: Iterable[Shift], split: str = "test", dataset: Dataset | None = None
    ) -> Iterator[tuple[Shift, Predictions]]:
        raise self._not_one()

    def epochs(self) -> dict[int, int]:
        """The epochs whose weights every fold has, each with its step in the first fold."""
        first, *others = [run.epochs() for run in self.whole.runs.values()]
        return {epoch: step for epoch, step in first.items() if all(epoch in other for other in others)}

    def predict_epochs(
        self, split: str = "test", dataset: Dataset | None = None, epochs: Sequence[int] | None = None
    ) -> dict[int, Predictions]:
        if dataset is not None or split != "test":
            raise self._not_one()
        each = [run.predict_epochs(epochs=epochs) for run in self.whole.runs.values()]  # one model in memory at a time
        return {epoch: self.predict(epoch=epoch) for epoch in each[0] if all(epoch in found for found in each)}

    def _not_one(self) -> UserError:
        run = next(iter(self.whole.runs.values()))
        return UserError(
            f"{self.folder} is a cross-validation, one set of predictions on its test folds only; for anything else "
            f"give one of its runs, such as {run.folder}"
        )
