"""Runs: train an experiment into a folder, and take its ensemble and predictions out of it."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble import registry
from lora_ensemble._files import atomic_write_json
from lora_ensemble.contracts import Dataset, LoadedBackbone, Split
from lora_ensemble.errors import ConfigurationError, RunFolderError, UserError
from lora_ensemble.experiment import Experiment
from lora_ensemble.runs.folder import (
    ENSEMBLE,
    FINISHED,
    PREDICTIONS,
    RUN,
    claim,
    dataset_label,
    is_main_process,
    locked,
    prediction_key,
    read_record,
)
from lora_ensemble.training.progress import OnProgress, TerminalProgress

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble
    from lora_ensemble.predictions import Predictions
    from lora_ensemble.training.checkpoints import Checkpoint


def train(experiment: Experiment, folder: str | Path, *, on_progress: OnProgress | None = None) -> Run:
    """Train an experiment into a folder, and return the run.

    The same call again resumes an interrupted run, with the same result as if it had not been interrupted, and returns
    a finished one at once. on_progress: receives the progress; a display on stderr if None.

    Raises ConfigurationError for an experiment whose parts do not fit, RunFolderError for a folder that holds a
    different run or other files, DataError for data that cannot be trained on, DivergedError for a loss that is not
    finite, UserError for a disk that is full.
    """
    experiment.check()
    folder = Path(folder)
    with locked(folder) if is_main_process() else nullcontext():
        if is_main_process():
            claim(folder, experiment)
        if (folder / FINISHED).is_file():
            _tidy(experiment, folder)
        elif on_progress is not None:
            _train(experiment, folder, on_progress)
        else:
            with TerminalProgress(experiment.name or folder.name) as display:
                _train(experiment, folder, display)
    return Run(folder)


class Run:
    """A run folder that `train` made. Raises RunFolderError for a folder that holds no run."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._record = read_record(self.folder, RUN)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}{'' if self.finished else ', unfinished'})"

    @property
    def experiment(self) -> Experiment:
        """What was, or is to be, trained."""
        return Experiment.from_dict(self._record["experiment"])

    @property
    def finished(self) -> bool:
        """Whether training came to its end and the ensemble is saved."""
        return (self.folder / FINISHED).is_file()

    @property
    def cost(self) -> dict[str, Any]:
        """What training took, by the fields of `training.Cost`. Raises RunFolderError for an unfinished run."""
        return read_record(self.folder, FINISHED)["cost"]

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the logits. Raises RunFolderError for an unfinished run."""
        return read_record(self.folder, FINISHED)["classes"]

    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints that were kept (`training.save`), by step."""
        from lora_ensemble.training.checkpoints import CHECKPOINTS, checkpoints

        return checkpoints(self.folder / CHECKPOINTS)

    def ensemble(self, step: int | None = None) -> Ensemble:
        """The trained ensemble, in evaluation mode; step: as it was in that checkpoint."""
        return self._load(step)[1]

    def predict(self, split: str = "test", dataset: Dataset | None = None, *, step: int | None = None) -> Predictions:
        """Predictions on a split of the run's data set, or of another one, whose classes may differ (an OOD set).

        Kept in predictions/, and computed anew only when weights or configuration have changed. step: with the weights
        of that checkpoint.
        """
        from lora_ensemble.predictions import Predictions

        dataset = self.experiment.dataset if dataset is None else dataset
        at = "" if step is None else f"-step-{step}"
        path = self.folder / PREDICTIONS / f"{dataset_label(dataset, self.experiment)}-{split}{at}.safetensors"
        weights = self.folder / ENSEMBLE if step is None else self._checkpoint(step)
        key = prediction_key(self.experiment, dataset, split, weights)
        if path.is_file():
            try:
                kept = Predictions.load(path)
            except UserError:
                kept = None  # damaged or foreign: made anew
            if kept is not None and kept.meta.get("key") == key:
                return kept
        predictions = self._predict(split, dataset, step, key)
        predictions.save(path)
        return predictions

    def _predict(self, split: str, dataset: Dataset, step: int | None, key: str) -> Predictions:
        from lora_ensemble.training.devices import pick_device
        from lora_ensemble.training.predicting import predict_split

        experiment, training = self.experiment, self.experiment.training
        rows = dataset.load(split)
        check_modality(experiment, rows)
        backbone, ensemble = self._load(step)
        predictions = predict_split(
            ensemble,
            rows,
            backbone,
            classes=self.classes,
            batch_size=training.batch_size,
            device=pick_device(training.device),
            precision=training.precision,
            workers=training.workers,
            seed=experiment.seed,
        )
        about = {
            "run": self.folder.name,
            "backbone": registry.name_of(experiment.backbone),
            "method": registry.name_of(experiment.method),
            "dataset": registry.name_of(dataset),
            "split": split,
            "seed": experiment.seed,
            "step": step,
            "key": key,
        }
        return dataclasses.replace(predictions, meta={**about, **predictions.meta})

    def _load(self, step: int | None) -> tuple[LoadedBackbone, Ensemble]:
        from lora_ensemble.engine.saving import load_ensemble, read_tensors
        from lora_ensemble.training.checkpoints import WEIGHTS

        classes = len(self.classes)
        if step is None:
            backbone = load_backbone(self.experiment, classes)
            return backbone, load_ensemble(self.folder / ENSEMBLE, backbone.model)
        weights = read_tensors(self._checkpoint(step) / WEIGHTS)
        backbone, ensemble = build(self.experiment, classes)
        ensemble.load_trainable_state(weights)
        return backbone, ensemble.eval()

    def _checkpoint(self, step: int) -> Path:
        found = {c.step: c.folder for c in self.checkpoints()}
        if step not in found:
            there = ", ".join(map(str, found)) or "none"
            raise RunFolderError(f"{self.folder} has no checkpoint of step {step}; there are: {there}")
        return found[step]


def load_backbone(experiment: Experiment, num_classes: int) -> LoadedBackbone:
    """The experiment's backbone, with a head drawn from its seed."""
    from lora_ensemble.randomness import seeded

    with seeded(experiment.seed, "backbone"):
        return experiment.backbone.load(num_classes)


def build(experiment: Experiment, num_classes: int) -> tuple[LoadedBackbone, Ensemble]:
    """The experiment's backbone, and the untrained ensemble that its method makes of it."""
    from lora_ensemble.randomness import seeded

    backbone = load_backbone(experiment, num_classes)
    with seeded(experiment.seed, "method"):
        return backbone, experiment.method.build(backbone, experiment.seed)


def check_modality(experiment: Experiment, split: Split) -> None:
    """Raises ConfigurationError for examples that the backbone does not understand."""
    understood = experiment.backbone.modality
    if split.modality != understood:
        name = registry.name_of(experiment.backbone)
        raise ConfigurationError([f"the data set holds {split.modality}, backbone {name!r} understands {understood}"])


def _train(experiment: Experiment, folder: Path, on_progress: OnProgress) -> None:
    from lora_ensemble.folders import new_folder
    from lora_ensemble.randomness import seeded
    from lora_ensemble.training.fitting import fit, wait_for_all

    split = experiment.dataset.load("train")
    check_modality(experiment, split)
    with seeded(experiment.seed):  # the caller's random numbers stay as they are
        backbone, ensemble = build(experiment, len(split.classes))
        cost = fit(ensemble, split, backbone, experiment.training, experiment.seed, folder, on_progress)
    if is_main_process():
        with new_folder(folder / ENSEMBLE) as partial:
            ensemble.save_pretrained(partial)
        finished = {"classes": list(split.classes), "cost": dataclasses.asdict(cost)}
        atomic_write_json(folder / FINISHED, finished)
    _tidy(experiment, folder)
    wait_for_all()


def _tidy(experiment: Experiment, folder: Path) -> None:
    """Remove the checkpoints that only served to resume."""
    from lora_ensemble.training.checkpoints import CHECKPOINTS, rotate

    if is_main_process():
        rotate(folder / CHECKPOINTS, experiment.training.keep_checkpoints, finished=True)
