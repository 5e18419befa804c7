"""EnsembleClassifier: an ensemble of a pretrained network as scikit-learn's classifiers are used."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from lora_ensemble import registry
from lora_ensemble.contracts import Example, Method, Split
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.fields import from_plain
from lora_ensemble.randomness import seeded
from lora_ensemble.sklearn.networks import configured, loaded
from lora_ensemble.sklearn.rows import FEATURES, examples_of, guessed_modality, known_modality
from lora_ensemble.training.options import Training

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from lora_ensemble.contracts import Backbone, Calibration
    from lora_ensemble.predictions import Predictions


class EnsembleClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A calibrated ensemble with one backbone; by default M LoRA members, trained at once by the real training loop.

    X: a list of texts or of pairs of texts; images, as uint8 arrays (N, H, W) or (N, H, W, 3), or a list of arrays of
    any size, of Pillow's images or, with modality="image", of files; with modality="audio" a list of sounds, floats at
    16 kHz, or of files; or a matrix of numbers (N, features). y: labels of any kind.

    Parameters
    ----------
    backbone : a hub id or a folder of transformers or `timm/`, one of `lora-ensemble list backbones`, a configuration
        (`backbones.vit.ViT(...)`), or a torch module, which is copied, called with the rows of X as they are, and gives
        one logit for each class. None: the default of the modality; for a matrix a small transformer that is trained
        from nothing.
    method : a name of `lora-ensemble list methods`, or a configuration (`methods.lora.Lora(members=8, r=4)`).
    members, r : number of members and rank of their updates; None: the method's, 4 and 8.
    epochs, batch_size, learning_rate : of the training; `training` has other fields of `lora_ensemble.Training`.
    calibration : None, or the name of a calibration (`temperature` ...) or "best", fitted to a stratified share of
        `validation_size` of the rows, which is then not trained on, or to `fit(..., validation=(X, y))`.
    modality : auto, features, text, image or audio.
    random_state : everything random follows from it.
    verbose : show the progress on stderr.

    Attributes
    ----------
    classes_ : the labels, in the order of the columns of `predict_proba`.
    ensemble_ : the trained `lora_ensemble.Ensemble`; backbone_ says how it is fed.
    cost_ : what the training took; calibration_ : what was fitted, or None.
    """

    def __init__(
        self,
        backbone: str | Backbone | nn.Module | None = None,
        *,
        method: str | Method = "lora",
        members: int | None = None,
        r: int | None = None,
        epochs: int = 10,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        training: Mapping[str, Any] | None = None,
        calibration: str | None = None,
        validation_size: float = 0.1,
        modality: str = "auto",
        device: str = "auto",
        random_state: Any = 0,
        verbose: bool = False,
    ):
        self.backbone = backbone
        self.method = method
        self.members = members
        self.r = r
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.training = training
        self.calibration = calibration
        self.validation_size = validation_size
        self.modality = modality
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, validation: tuple[Any, Any] | None = None) -> Self:
        """Train. Raises ConfigurationError for parameters that do not fit, DataError for rows that cannot be used,
        ValueError where scikit-learn does, DivergedError for a loss that is not finite."""
        training, method = self._training(), self._method()
        self.seed_ = seed = self._seed()
        examples = self._examples(X, reset=True)
        y = check_array(column_or_1d(y, warn=True), ensure_2d=False, dtype=None, input_name="y")
        check_classification_targets(y)
        if len(y) != len(examples):
            raise DataError(f"X has {len(examples)} rows, y has {len(y)}")
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y has one class, {self.classes_[0]!r}: at least two classes are needed")
        trained, held = self._parts(self._split(examples, labels), validation)
        self._train(trained, method, training, seed)
        self.calibration_ = None if held is None else self._fitted_to(held)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(N,) the most probable class of each row."""
        probs_NC = self.predict_proba(X)
        most: np.ndarray = self.classes_[probs_NC.argmax(1)]
        return most

    def predict_proba(self, X: Any) -> np.ndarray:
        """(N, C) the members' mean probabilities, calibrated where asked for."""
        pooled = self.predictions(X).mean_probs_BC.double()
        probs: np.ndarray = (pooled / pooled.sum(1, keepdim=True)).numpy()
        return probs

    def uncertainty(self, X: Any) -> pd.DataFrame:
        """A row for each of X: total, aleatoric and epistemic uncertainty in nats (entropies; epistemic is the mutual
        information of class and member), and agreement, the share of members whose class is the prediction."""
        return self.predictions(X).to_pandas()[["total", "aleatoric", "epistemic", "agreement"]]

    def predictions(self, X: Any, raw: bool = False) -> Predictions:
        """The members' logits (M, N, C), for everything that `lora_ensemble` computes of them. raw: not calibrated."""
        check_is_fitted(self)
        found = self._predicted(self._split(self._examples(X, reset=False), None))
        return found if raw or self.calibration_ is None else self.calibration_(found)

    # Parameters ---------------------------------------------------------------------------------------------------

    def _training(self) -> Training:
        given = {"epochs": self.epochs, "batch_size": self.batch_size, "learning_rate": float(self.learning_rate)}
        found = from_plain(Training, {**given, "device": self.device, **(self.training or {})}, "training")
        if found.early_stopping is not None:
            raise ConfigurationError(["training.early_stopping: is for `lora-ensemble train`, not for this class"])
        if problems := found.problems():
            raise ConfigurationError(problems)
        return found

    def _method(self) -> Method:
        found = registry.config_class("methods", self.method)() if isinstance(self.method, str) else self.method
        given = {name: int(value) for name in ("members", "r") if (value := getattr(self, name)) is not None}
        for name in given:
            if not hasattr(found, name):
                raise ConfigurationError([f"{name} = {given[name]}: method {registry.name_of(found)!r} has none"])
        method: Method = dataclasses.replace(found, **given)
        if problems := [*method.problems(), *method.training_problems(self._training())]:
            raise ConfigurationError(problems)
        return method

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer) and self.random_state >= 0:
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))

    # Rows ---------------------------------------------------------------------------------------------------------

    def _examples(self, X: Any, reset: bool) -> Sequence[Example]:
        """reset: remember what the rows are, as `fit` does; otherwise they must be the same."""
        if reset:
            wanted = known_modality(self.modality)
            guessed = guessed_modality(X) if wanted == "auto" else wanted
            self.modality_ = getattr(configured(self.backbone, guessed), "modality", guessed)
        if self.modality_ != FEATURES:
            return examples_of(X, self.modality_)
        free = _is_module(self.backbone)  # its rows may have any shape
        X = validate_data(self, X, reset=reset, dtype="numeric", allow_nd=free, ensure_min_samples=1)
        return examples_of(X, FEATURES)

    def _split(self, examples: Sequence[Example], labels: np.ndarray | None) -> Split:
        ids = [str(number) for number in range(len(examples))]
        names = [str(name) for name in self.classes_]
        return Split(examples, None if labels is None else labels.astype(np.int64), ids, names, self.modality_)

    def _parts(self, split: Split, validation: tuple[Any, Any] | None) -> tuple[Split, Split | None]:
        """What is trained on, and what the calibration is fitted to: as given, or in every class its share."""
        if self.calibration is None:
            if validation is not None:
                raise ConfigurationError(["validation is for a calibration, and calibration = None"])
            return split, None
        if validation is not None:
            return split, self._labelled(*validation)
        rows = np.arange(len(split))
        try:
            parts = train_test_split(
                rows, test_size=self.validation_size, random_state=self.seed_ % 2**32, stratify=split.labels
            )
        except ValueError as error:
            raise DataError(f"validation_size = {self.validation_size}: {error}; or give fit a validation") from error
        trained, held = (_some(split, np.sort(part)) for part in parts)
        return trained, held

    def _labelled(self, X: Any, y: Any) -> Split:
        y = column_or_1d(y, warn=True)
        if len(unknown := np.setdiff1d(y, self.classes_)):
            raise DataError(f"validation has the label {unknown[0]!r}, which is none of the classes of y")
        return self._split(self._examples(X, reset=False), np.searchsorted(self.classes_, y))

    # Training and prediction --------------------------------------------------------------------------------------

    def _train(self, split: Split, method: Method, training: Training, seed: int) -> None:
        from lora_ensemble.training.fitting import fit
        from lora_ensemble.training.progress import TerminalProgress

        with seeded(seed):  # the caller's random numbers stay as they are
            self.backbone_ = loaded(configured(self.backbone, self.modality_), split, seed)
            with seeded(seed, "method"):
                self.ensemble_ = method.build(self.backbone_, seed)
            self.ensemble_.objective = self.backbone_.loss
            shown: Any = TerminalProgress("fit") if self.verbose else nullcontext(_quiet)
            with tempfile.TemporaryDirectory() as folder, shown as progress:
                self.cost_ = fit(self.ensemble_, split, self.backbone_, training, seed, Path(folder), progress)
        self.ensemble_.eval()

    def _predicted(self, split: Split) -> Predictions:
        from lora_ensemble.devices import pick_device
        from lora_ensemble.inference import predict_split

        training = self._training()
        return predict_split(
            self.ensemble_,
            split,
            self.backbone_,
            classes=split.classes,
            batch_size=training.batch_size,
            device=pick_device(training.device),
            precision=training.precision,
            workers=training.workers,
            seed=self.seed_,
        )

    def _fitted_to(self, split: Split) -> Calibration:
        from lora_ensemble.analysis import calibrate

        return calibrate(self._predicted(split), str(self.calibration))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = self.modality in ("auto", "text")
        tags.input_tags.three_d_array = True
        return tags


def _some(split: Split, rows: np.ndarray) -> Split:
    assert split.labels is not None
    examples = split.examples
    taken = examples.take(rows) if hasattr(examples, "take") else [examples[row] for row in rows]
    return dataclasses.replace(split, examples=taken, labels=split.labels[rows], ids=[split.ids[row] for row in rows])


def _is_module(backbone: Any) -> bool:
    from torch import nn

    return isinstance(backbone, nn.Module)


def _quiet(progress: object) -> None:
    """Of the progress nothing is shown."""
