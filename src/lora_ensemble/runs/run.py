"""Runs: train an experiment into a folder, and take its ensemble and predictions out of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble import registry
from lora_ensemble.contracts import Calibration, Dataset, LoadedBackbone, Shift
from lora_ensemble.errors import ConfigurationError, RunFolderError
from lora_ensemble.experiment import Experiment
from lora_ensemble.runs.building import build, check_modality, load_backbone
from lora_ensemble.runs.calibrated import calibrate_trained
from lora_ensemble.runs.folder import ENSEMBLE, claim, is_main_process, locked
from lora_ensemble.runs.kept import keep, load_kept, older_prediction_key, place_of, prediction_key
from lora_ensemble.runs.predicting import Wanted, predicted
from lora_ensemble.runs.records import ADOPTED, FINISHED, RUN, read_record, write_finished
from lora_ensemble.runs.renewing import renew_predictions
from lora_ensemble.runs.wholeness import check_whole
from lora_ensemble.training.progress import OnProgress, TerminalProgress

if TYPE_CHECKING:
    import pandas as pd

    from lora_ensemble.answers.asked import Asked
    from lora_ensemble.engine.ensemble import Ensemble
    from lora_ensemble.predictions import Predictions
    from lora_ensemble.training.checkpoints import Checkpoint


def train(
    experiment: Experiment, folder: str | Path, *, on_progress: OnProgress | None = None, anew: bool = False
) -> Run:
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
            claim(folder, experiment, anew)
        if (folder / FINISHED).is_file():
            check_whole(folder)
            _tidy(experiment, folder)
            if is_main_process():
                calibrate_trained(Run(folder))
                renew_predictions(Run(folder))
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
        self._unsaved: dict[Path, Predictions] = {}

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
    def adopted(self) -> dict[str, Any] | None:
        """Where the ensemble is from, if it was not trained in this folder (`runs.adopting.adopt`)."""
        origin: dict[str, Any] | None = self._record.get(ADOPTED)
        return origin

    @property
    def cost(self) -> dict[str, Any]:
        """What training took, by the fields of `training.Cost`. Raises RunFolderError for an unfinished run."""
        cost: dict[str, Any] = read_record(self.folder, FINISHED)["cost"]
        return cost

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the logits. Raises RunFolderError for an unfinished run."""
        classes: list[str] = read_record(self.folder, FINISHED)["classes"]
        return classes

    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints that were kept (`training.save`), by step."""
        from lora_ensemble.training.checkpoints import CHECKPOINTS, checkpoints

        return checkpoints(self.folder / CHECKPOINTS)

    def epochs(self) -> dict[int, int]:
        """The epochs whose weights are there, each with its step. Epoch 0, step 0, is the untrained ensemble (of a
        language model: the base model); training.save = "epoch" keeps the others. None of a run that was adopted."""
        if self.adopted is not None:
            return {}
        ends = {c.epochs: c.step for c in self.checkpoints() if c.kept}
        return {0: 0} | {int(epoch): step for epoch, step in ends.items() if epoch == int(epoch)}

    def ensemble(self, step: int | None = None) -> Ensemble:
        """The trained ensemble, in evaluation mode; step: as it was in that checkpoint, 0: before training."""
        return self._load(step)[1]

    @property
    def calibrated(self) -> Calibration | None:
        """The run's calibration: call it with its predictions, or give it to `Predictions.calibrated`. None where there
        is none: no validation split, or trained by a version that fitted none (`calibrate` does)."""
        from lora_ensemble.runs.calibrated import read_calibration

        return read_calibration(self.folder)

    def calibrate(self, name: str = "temperature") -> Calibration:
        """Fit a calibration (`lora_ensemble.calibrate`) to the validation split, and keep it as the run's, in place of
        the one before. Raises DataError for a data set without a validation split."""
        from lora_ensemble.analysis.calibration import calibrate
        from lora_ensemble.runs.calibrated import CALIBRATION, validation_predictions

        fitted = calibrate(validation_predictions(self), name)
        fitted.save(self.folder / CALIBRATION)
        return fitted

    def loaded(self) -> tuple[LoadedBackbone, Ensemble]:
        """The trained ensemble, in evaluation mode, and its backbone, which says how it is fed."""
        return self._load(None)

    def about(self, step: int | None = None) -> dict[str, Any]:
        """What the meta of its predictions says of the ensemble."""
        return {
            "run": self.folder.name,
            "backbone": registry.name_of(self.experiment.backbone),
            "method": registry.name_of(self.experiment.method),
            "seed": self.experiment.seed,
            "step": step,
        }

    def weights_digest(self) -> str:
        """Of the saved ensemble. Raises RunFolderError for an unfinished run."""
        from lora_ensemble.disk.digests import digest_of_file
        from lora_ensemble.engine.saving import MANIFEST

        kept = read_record(self.folder, FINISHED).get("ensemble")
        return kept or digest_of_file(self.folder / ENSEMBLE / MANIFEST)

    def answer(self, rows: Any, asked: Asked | None = None, **options: Any) -> pd.DataFrame:
        """Answers to new rows: what `lora-ensemble predict --input` writes, as a table.

        rows: a folder, a file or a table; or a list of such, of texts, or of examples (`contracts.Split`). asked: what
        the answers hold (`lora_ensemble.answers.Asked`). options: how rows are read, the fields of
        `sources.incoming.Options` (`text_column`, `skip_unreadable` ...). Raises DataError for rows that cannot be
        read, and what a promise raises that cannot be given."""
        from lora_ensemble.answers.asked import Asked
        from lora_ensemble.runs.answering import answers

        return answers(self, rows, asked or Asked(), **options)

    def predict(
        self,
        split: str = "test",
        dataset: Dataset | None = None,
        *,
        step: int | None = None,
        epoch: int | None = None,
        shift: Shift | None = None,
        features: bool = False,
    ) -> Predictions:
        """Predictions on a split of the run's data set, or of another one, whose classes may differ (an OOD set).

        Kept in predictions/, and computed anew only when weights or configuration have changed. step: with the weights
        of that checkpoint, 0: before training. epoch: with the weights after that epoch, one of `epochs()`. shift: of
        the rows after it, for instance `shifts.fog.Fog(severity=3)`. features: with what each member's head is given,
        in `features_MBD`, for the uncertainties that compare it (4 bytes a number).
        """
        if epoch is not None:
            if step is not None or shift is not None or features:
                raise ConfigurationError([f"epoch = {epoch}: give it without step, shift and features"])
            return self.predict_epochs(split, dataset, [epoch])[epoch]
        wanted = Wanted(split, dataset or self.experiment.dataset, step, shift, features)
        kept = self._kept(wanted)
        return self._predict(wanted, self._load(step)) if kept is None else kept

    def predict_shifts(
        self, shifts: Iterable[Shift], split: str = "test", dataset: Dataset | None = None
    ) -> Iterator[tuple[Shift, Predictions]]:
        """Predictions after each of several shifts, kept as those of `predict`; the model is loaded once at most.
        `runs.shifts.shifts_named` gives the shifts of a text such as "corruptions:severity=1,3,5"."""
        loaded = None
        for shift in shifts:
            wanted = Wanted(split, dataset or self.experiment.dataset, shift=shift)
            kept = self._kept(wanted)
            if kept is None:
                loaded = loaded or self._load(None)
                kept = self._predict(wanted, loaded)
            yield shift, kept

    def predict_loaded(self, split: str, loaded: tuple[LoadedBackbone, Ensemble]) -> Predictions:
        """`predict` on a split of the run's data set with its trained ensemble, where that is in memory already."""
        wanted = Wanted(split, self.experiment.dataset)
        kept = self._kept(wanted)
        return self._predict(wanted, loaded) if kept is None else kept

    def predict_epochs(
        self, split: str = "test", dataset: Dataset | None = None, epochs: Sequence[int] | None = None
    ) -> dict[int, Predictions]:
        """Predictions after each epoch, kept as those of `predict`; the backbone is loaded once at most.

        epochs: default all of `epochs()`. Raises RunFolderError for an epoch without weights, and where all are asked
        for and training kept none.
        """
        there = self.epochs()
        if self.adopted is not None:
            raise RunFolderError(f"{self.folder} was adopted: weights of epochs are kept where an ensemble is trained")
        if epochs is None and len(there) == 1 and self.cost["steps"]:
            raise RunFolderError(f"{self.folder} kept no weights of its epochs; train with --training.save epoch")
        found: dict[int, Predictions] = {}
        built = None
        for epoch in sorted(there if epochs is None else set(epochs)):
            if epoch not in there:
                listed = ", ".join(map(str, there))
                hint = "" if len(there) > 1 else "; --training.save epoch keeps them"
                raise RunFolderError(f"{self.folder} has no weights of epoch {epoch}; there are: {listed}{hint}")
            wanted = Wanted(split, dataset or self.experiment.dataset, there[epoch])
            kept = self._kept(wanted)
            if kept is None:  # in rising order: epoch 0 is what is built, later ones are loaded into it
                built = self._load(there[epoch], built)
                kept = self._predict(wanted, built)
            found[epoch] = kept
        return found

    def _kept(self, wanted: Wanted) -> Predictions | None:
        """Stored predictions that are up to date."""
        path, key = self._place(wanted)
        unsaved = self._unsaved.get(path)
        if unsaved is not None and not (wanted.features and unsaved.features_MBD is None):
            return unsaved
        if not path.is_file():
            return None
        weights = self.weights(wanted.step)
        plain = wanted.shift is None and not wanted.features
        older = older_prediction_key(self.experiment, wanted.dataset, wanted.split, weights) if plain else None
        return load_kept(path, key, wanted, older)

    def _place(self, wanted: Wanted) -> tuple[Path, str]:
        """Where predictions are kept, and the key of those that are up to date."""
        key = prediction_key(self.experiment, wanted, self.weights(wanted.step))
        return place_of(self.folder, self.experiment, wanted), key

    def weights(self, step: int | None = None) -> Path | None:
        """Where the weights are that predictions are made with; None for those before training."""
        return self.folder / ENSEMBLE if step is None else self._checkpoint(step).folder if step else None

    def _predict(self, wanted: Wanted, loaded: tuple[LoadedBackbone, Ensemble]) -> Predictions:
        path, key = self._place(wanted)
        predictions = predicted(self.experiment, self.classes, wanted, loaded)
        about = {**self.about(wanted.step), **wanted.about(), "key": key, "data": wanted.dataset.fingerprint()}
        predictions = dataclasses.replace(predictions, meta={**about, **predictions.meta})
        if not keep(predictions, path):
            self._unsaved[path] = predictions
        return predictions

    def _load(
        self, step: int | None, built: tuple[LoadedBackbone, Ensemble] | None = None
    ) -> tuple[LoadedBackbone, Ensemble]:
        """built: an ensemble of this run, to load another checkpoint into."""
        from lora_ensemble.saved import load_ensemble

        classes = len(self.classes)
        if step is None:
            backbone = load_backbone(self._fitted, classes)
            return backbone, load_ensemble(self.folder / ENSEMBLE, backbone.model)
        weights = self._checkpoint(step).weights() if step else None
        backbone, ensemble = built or build(self._fitted, classes)
        if weights is not None:
            ensemble.load_trainable_state(weights)
        return backbone, ensemble.eval()

    @property
    def _fitted(self) -> Experiment:
        """The experiment, with what its backbone took from the training split."""
        kept = read_record(self.folder, FINISHED).get("backbone", self._record["experiment"]["backbone"])
        return Experiment.from_dict({**self._record["experiment"], "backbone": kept})

    def _checkpoint(self, step: int) -> Checkpoint:
        found = {c.step: c for c in self.checkpoints()}
        if step not in found:
            there = ", ".join(map(str, found)) or "none"
            raise RunFolderError(f"{self.folder} has no checkpoint of step {step}; there are: {there}")
        return found[step]


def _train(experiment: Experiment, folder: Path, on_progress: OnProgress) -> None:
    from lora_ensemble.disk.digests import digest_of_file
    from lora_ensemble.disk.folders import new_folder
    from lora_ensemble.engine.saving import MANIFEST
    from lora_ensemble.randomness import seeded
    from lora_ensemble.training.fitting import fit, wait_for_all

    split = experiment.dataset.load("train")
    check_modality(experiment, split)
    with seeded(experiment.seed):  # the caller's random numbers stay as they are
        fitted = dataclasses.replace(experiment, backbone=experiment.backbone.fitted(split))
        backbone, ensemble = build(fitted, len(split.classes))
        looked_at = experiment.training.early_stopping or "validation" in experiment.method.splits_read
        validation = experiment.dataset.load("validation") if looked_at else None
        training, seed = experiment.training, experiment.seed
        cost = fit(ensemble, split, backbone, training, seed, folder, on_progress, validation)
    if is_main_process():
        with new_folder(folder / ENSEMBLE) as partial:
            ensemble.save_pretrained(partial)
        finished = {
            "classes": list(split.classes),
            "cost": dataclasses.asdict(cost),
            "backbone": fitted.to_dict()["backbone"],
            "data": read_record(folder, RUN).get("data") or experiment.dataset.fingerprint(),
            "ensemble": digest_of_file(folder / ENSEMBLE / MANIFEST),
        }
        write_finished(folder, finished)
        calibrate_trained(Run(folder), (backbone, ensemble))
    _tidy(experiment, folder)
    wait_for_all()


def _tidy(experiment: Experiment, folder: Path) -> None:
    """Remove the checkpoints that only served to resume."""
    from lora_ensemble.training.checkpoints import CHECKPOINTS, rotate

    if is_main_process():
        rotate(folder / CHECKPOINTS, experiment.training.keep_checkpoints, finished=True)
