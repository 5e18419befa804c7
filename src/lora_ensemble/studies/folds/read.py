"""What `cross_validate` made: the runs of the folds, their predictions, and all test rows as one set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from lora_ensemble.errors import RunFolderError, UnknownNameError
from lora_ensemble.experiment import Experiment
from lora_ensemble.runs.records import RUN, read_record
from lora_ensemble.runs.run import Run

if TYPE_CHECKING:
    from lora_ensemble.analysis.fold_scores import FoldScores
    from lora_ensemble.contracts import Dataset
    from lora_ensemble.predictions import Predictions

RECORD = "cross-validation.json"
"""The experiment, its fold the first; written first."""

BEST = "best-mean-accuracy"
Rule = Literal["last", "best-mean-accuracy"]
"""Which weights are scored: the final ones, or those of the epoch with the best mean accuracy over the test folds."""


class CrossValidation:
    """A folder that `cross_validate` made. Raises RunFolderError for a folder that holds none."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not (self.folder / RECORD).is_file():
            raise RunFolderError(f"{self.folder} holds no cross-validation: there is no {RECORD} in it")
        self._record = read_record(self.folder, RECORD)
        folders = {fold: self.folder / folder_name(fold) for fold in self.experiment.dataset.folds}
        self.runs = {fold: Run(folder) for fold, folder in folders.items() if (folder / RUN).is_file()}
        """The folds' runs, finished or not, by the fold's number. A fold that was never asked for is not there."""
        if not self.runs:
            raise RunFolderError(f"{self.folder} holds no fold yet: cross-validate into it again")

    def __repr__(self) -> str:
        folds = ", ".join(map(str, self.runs))
        return f"CrossValidation({str(self.folder)!r}, folds {folds}{'' if self.finished else ', unfinished'})"

    @property
    def experiment(self) -> Experiment:
        """What is cross-validated; its data set's `fold` has no meaning."""
        return Experiment.from_dict(self._record["experiment"])

    @property
    def finished(self) -> bool:
        """Whether every fold that was begun is trained to its end."""
        return all(run.finished for run in self.runs.values())

    @property
    def classes(self) -> list[str]:
        """Names of the classes. Raises RunFolderError for an unfinished fold."""
        of_each = [run.classes for run in self.runs.values()]
        return of_each[0]

    @property
    def cost(self) -> dict[str, Any]:
        """Seconds of all folds together; trained parameters and peak memory of one of them. Raises RunFolderError for
        an unfinished fold."""
        costs = [run.cost for run in self.runs.values()]
        largest = {name: max(c[name] or 0 for c in costs) for name in ("trainable_parameters", "peak_memory_bytes")}
        return {"seconds": sum(c["seconds"] for c in costs), **largest}

    def predict(
        self, split: str = "test", dataset: Dataset | None = None, *, epoch: int | Rule = "last"
    ) -> dict[int, Predictions]:
        """Each fold's predictions, by its number: what `Run.predict` gives. epoch: after that epoch, or by a rule."""
        at = self._epoch(epoch)
        return {fold: run.predict(split, dataset, epoch=at) for fold, run in self.runs.items()}

    def pooled(self, epoch: int | Rule = "last") -> Predictions:
        """The test rows of all folds, each with the logits of the ensemble that was not trained on it, (M, B, C).

        Member m of a row is member m of that row's fold. Raises RunFolderError for an unfinished fold, DataError for a
        row that is in two folds.
        """
        from lora_ensemble.predictions import Predictions

        parts = list(self.predict(epoch=epoch).values())
        joined = Predictions.concat_rows(parts)
        seconds = sum(part.meta["seconds"] for part in parts)
        about = {
            "run": self.folder.name,
            "folds": list(self.runs),
            "epoch": self._epoch(epoch),
            "seconds": seconds,
            "examples_per_second": len(joined) / seconds,
        }
        note = {"note": text} if (text := self.note(epoch)) else {}
        return replace(joined, meta={**joined.meta, **about, **note})

    def scores(self, epoch: int | Rule = "last") -> FoldScores:
        """Mean and standard deviation over folds, and the scores of the pooled rows with intervals."""
        from lora_ensemble.analysis.fold_scores import evaluate_folds

        return evaluate_folds(self.predict(epoch=epoch), note=self.note(epoch))

    def note(self, epoch: int | Rule) -> str:
        """What a reader has to know of scores under a rule; stands wherever they are shown."""
        if epoch != BEST:
            return ""
        return (
            f"Epoch {self.best_epoch} was chosen on the test folds themselves ({BEST}, as published): the scores are "
            "too good to be those of an epoch that was fixed before."
        )

    def mean_accuracies(self) -> dict[int, float]:
        """Mean over folds of the ensemble's accuracy on the test fold, after each epoch.

        Raises RunFolderError where not every fold has kept the weights of all its epochs.
        """
        import torch

        from lora_ensemble.analysis.rendering import mean
        from lora_ensemble.analysis.scoring import compute

        found: dict[int, list[float]] = {epoch: [] for epoch in self._epochs()}
        for run in self.runs.values():
            for epoch, p in run.predict_epochs("test", epochs=list(found)).items():
                once = torch.ones(1, len(p), dtype=torch.float64)
                found[epoch].append(float(compute(p, once, names=["accuracy"])["accuracy"]))
        return {epoch: mean(values) for epoch, values in found.items()}

    @cached_property
    def best_epoch(self) -> int:
        """The epoch of the best mean accuracy over the test folds, the first of equals: the published rule of
        LoRA-Ensemble on ESC-50. It selects on the test folds."""
        return first_best(self.mean_accuracies())

    def _epochs(self) -> list[int]:
        kept = [[epoch for epoch in run.epochs() if epoch] for run in self.runs.values()]
        every = list(range(1, max(map(len, kept)) + 1))
        if not every or any(epochs != every for epochs in kept):
            raise RunFolderError(
                f"{self.folder} has not the weights of every epoch of every fold; train with --training.save epoch and "
                "without --training.keep-checkpoints"
            )
        return every

    def _epoch(self, epoch: int | Rule) -> int | None:
        """Its number; None for the end of training."""
        if isinstance(epoch, str) and epoch not in get_args(Rule):
            raise UnknownNameError("epoch", epoch, get_args(Rule))
        return self.best_epoch if epoch == BEST else None if epoch == "last" else int(epoch)


def first_best(means: Mapping[int, float]) -> int:
    """The epoch of the highest mean; the first of those that are equal in all but rounding."""
    return min(means, key=lambda epoch: (-round(means[epoch], 12), epoch))


def folder_name(fold: int) -> str:
    """Of a fold's run."""
    return f"fold-{fold}"
