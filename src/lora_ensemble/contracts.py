"""The whole extension contract: what a backbone, a method and a data set must offer.

A plug-in is one file in `backbones/`, `methods/` or `datasets/`, or one that a package or a user brings (see
`registry.sources`), with one public frozen dataclass that derives from the base below. Its fields are its configuration
(a docstring under each field becomes the help text of the command line and the documentation), its file's name (with
dashes) is the name that a user types, and the first line of the file's docstring is its description in
`lora-ensemble list`. Plug-in files import torch and everything heavier inside their methods, so that listing and
`--help` stay fast.

Shape letters, used in names and docstrings: M members, B batch, T tokens, D width, R rank, C classes.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from lora_ensemble import registry
from lora_ensemble.fitted import CALIBRATED, Fitted

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from lora_ensemble.engine.ensemble import Ensemble
    from lora_ensemble.launching.work import Work
    from lora_ensemble.predictions import Predictions
    from lora_ensemble.training.options import Training

Example = Mapping[str, Any]
"""One raw example of a data set, for instance {"image": uint8 array (H, W, 3)}; never its label."""

Batch = dict[str, "torch.Tensor"]
"""Tensors by argument name; the first axis of each is the batch."""

SEVERITIES = 5
"""How strong a shift can be: 1 to this."""


@dataclass(frozen=True)
class Split:
    """One split of a data set, raw: examples are what a backbone's `collate` understands.

    `modality` says which: "image" {"image": uint8 (H, W) or (H, W, 3)}, "audio" {"audio": float32 (samples,), 16 kHz},
    "text" {"text": str} and, of pairs, {"text_pair": str}, "choices" {"question": str, "choices": list[str]} and, to be
    shown before it with their answers, "shots": a list of such questions with {"answer": int}.
    """

    examples: Sequence[Example]
    labels: np.ndarray | None
    """(N,) int64 class indices, or None where the split has no labels (an OOD set)."""
    ids: Sequence[str]
    """(N,) stable, unique names of the examples."""
    classes: Sequence[str]
    """Names of the C classes, in the order of the labels."""
    modality: str
    augment: Callable[[Batch, torch.Generator], Batch] | None = None
    """Random augmentation of prepared inputs, on their device; used in training only."""
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """What else the source says of the examples, (N,) each, by its name: a patient, an age, a site."""

    def __len__(self) -> int:
        return len(self.examples)


class _Component:
    """A part of an experiment; the dataclass is its configuration. It has no fields `kind` and `from`: they are written
    beside its fields, and follow from where it is found."""

    plugin_kind: ClassVar[str]
    """Under which kind of plug-in it is listed."""

    @property
    def kind(self) -> str:
        """The name under which it is listed."""
        return registry.name_of(self)

    def problems(self) -> list[str]:
        """What is wrong with the fields, a line each, naming the field; types and choices are checked by annotation."""
        return []


@dataclass(frozen=True)
class Dataset(_Component, ABC):
    """Configuration of a data set. The splits "train", "validation" and "test" never share an example."""

    plugin_kind: ClassVar[str] = "datasets"
    modality: ClassVar[str] = "image"
    """What its examples are; see Split."""
    embedded: ClassVar[bool] = False
    """Whether it comes with the package; any other has a field `data: str`, a hub id or a local folder."""

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that exist; an OOD set has "test" alone."""

    @property
    def folds(self) -> tuple[int, ...]:
        """Numbers of the folds of its cross-validation; where there are any, its field `fold` says which is "test"."""
        return ()

    def fingerprint(self) -> dict[str, str]:
        """What the data are, by content: the digest of each part (a file, a folder, a hub id, a split) by its name.
        Empty where that cannot be known. Raises DataError for data that cannot be read."""
        from lora_ensemble.disk.fingerprints import fingerprint

        if self.embedded:
            return dict(_of_embedded(self))
        return fingerprint(str(getattr(self, "data", "")))

    @abstractmethod
    def load(self, split: str) -> Split:
        """One split. Raises DataError for data that is missing or unreadable, UnknownNameError for a split."""


@functools.lru_cache(maxsize=64)
def _of_embedded(dataset: Dataset) -> dict[str, str]:
    """The digest of each split; what comes with a package does not change while a process runs."""
    from lora_ensemble.disk.fingerprints import of_rows

    loaded = {name: dataset.load(name) for name in dataset.splits}
    return {name: of_rows(split.labels, split.ids, split.classes, split.examples) for name, split in loaded.items()}


@dataclass
class LoadedBackbone:
    """A pretrained model in memory, and how to feed it."""

    model: nn.Module
    """Called as model(**inputs); returns logits (B, C), (B, T, V), or an object with `.logits`."""
    collate: Callable[[Sequence[Example]], Batch]
    """Raw examples to CPU tensors; runs in the loader's workers."""
    prepare: Callable[[Batch], Batch]
    """Collated tensors, on the model's device, to the model's inputs: resizing and normalisation in batch."""
    head: str | None
    """Path of the classification head within `model`; None: every member shares the model's output layer."""
    own_head: bool = False
    """Whether the head is a pretrained one; otherwise it was drawn anew."""
    targets: tuple[str, ...] = ()
    """Paths of the attention projections (q, k, v, output); empty: found by `surgery.attention_projections`."""
    also_trained: tuple[str, ...] = ()
    """Modules or parameters that a method which freezes the model is to train nevertheless, one for all members."""
    source: dict[str, Any] = field(default_factory=dict)
    """What a saved ensemble remembers of it (JSON): filled in with the backbone's kind, its fields (unless `load` gives
    others), and the number of classes."""
    collate_labelled: Callable[[Sequence[Example], np.ndarray], Batch] | None = None
    """In place of `collate` in training, where the inputs depend on the labels, class indices (B,). Its batch has
    "labels": (B,) classes, or (B, T) tokens with -100 where nothing is learned."""
    lengths: Callable[[Sequence[Example]], Sequence[int]] | None = None
    """How long the inputs of each example are, where like lengths in a batch save work. Raises DataError for examples
    that are too long."""
    other_classes: tuple[str, ...] = ()
    """Names of what the model's logits have beyond the classes of the data set; never a label."""
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    """In place of cross-entropy: the logits of M members, (M, B, ...), and labels as the ensemble got them, to the mean
    losses of the members, (M,)."""
    scoring: LoadedBackbone | None = None
    """In its place where predictions are made, if inputs are read in another way there than in training."""
    by_token: Callable[[Tensor, Tensor], Tensor] | None = None
    """Where predictions are kept of every token that `collate_labelled` gives a label: logits (M, B, T, V) and labels
    (B, T) to logits (M, N, C) of those N tokens, row by row. Class 0 is the token itself; `other_classes` names the
    others."""


@dataclass(frozen=True)
class Backbone(_Component, ABC):
    """Configuration of a pretrained network."""

    plugin_kind: ClassVar[str] = "backbones"
    modality: ClassVar[str] = "image"
    """Which examples it understands; see Split."""

    def __init_subclass__(cls, **others: Any) -> None:
        super().__init_subclass__(**others)
        if "load" in vars(cls):
            cls.load = _with_source(cls.load)  # type: ignore[assignment,method-assign]

    def fitted(self, split: Split) -> Self:
        """This configuration, with what it takes from the training split (a mean, a scale) filled in."""
        return self

    @abstractmethod
    def load(self, num_classes: int) -> LoadedBackbone:
        """The pretrained model with a fresh head of `num_classes` outputs. Deterministic under torch.manual_seed."""


@dataclass(frozen=True)
class Method(_Component, ABC):
    """Configuration of a way to get an ensemble out of a backbone. Fields `members` and, where it makes sense,
    `first_member` (members first_member .. first_member + members - 1 of a larger ensemble)."""

    plugin_kind: ClassVar[str] = "methods"

    def __init_subclass__(cls, **others: Any) -> None:
        super().__init_subclass__(**others)
        if "build" in vars(cls):
            cls.build = _with_method(cls.build)  # type: ignore[assignment,method-assign]

    members: int = 4
    """Number of members M."""

    @property
    def splits_read(self) -> tuple[str, ...]:
        """Splits beside "train" that the ensemble looks at when training is over: "validation", or none."""
        return ()

    @abstractmethod
    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        """Rewrite the model (in place) into an untrained ensemble; member m is drawn from a generator of (seed, m)."""

    def problems(self) -> list[str]:
        return [] if self.members >= 1 else [f"method.members = {self.members}: must be at least 1"]

    def training_problems(self, training: Training) -> list[str]:
        """What of the training options does not fit this method, a line each, naming the field."""
        return []


@dataclass(frozen=True)
class Calibration(Fitted, ABC):
    """A map of predictions that was fitted to validation labels; its fields are what was fitted.

    What maps members is applied to each of them. What maps their pool gives `recalibration.pool.following`: members
    that have the mapped pool as their mean.
    """

    plugin_kind: ClassVar[str] = "calibrations"
    FORMAT: ClassVar[str] = "lora-ensemble-calibration"

    @classmethod
    @abstractmethod
    def fit(cls, validation: Predictions) -> Self:
        """Fit to validation labels. `source=Source.of(validation)` refuses what nothing can be fitted on."""

    @abstractmethod
    def logits(self, p: Predictions) -> Tensor:
        """(M, B, C) logits of the calibrated members, finite."""

    @property
    def moves_pool(self) -> bool:
        """Whether it maps the pool, so that the logits that come of it are logarithms of probabilities."""
        return True

    def __call__(self, p: Predictions) -> Predictions:
        """Calibrated predictions, with the same members, rows and meta. Raises DataError for predictions of another
        ensemble, and for such as went through a calibration that the validation predictions had not gone through."""
        self.source.check(p)
        meta = {**p.meta, CALIBRATED: [*p.meta.get(CALIBRATED, ()), self.name]}
        if self.moves_pool:
            meta["logits"] = "log-probabilities"  # as of `Predictions.from_probs`: their level says nothing any more
        return replace(p, logits_MBC=self.logits(p), meta=meta)

    @property
    def name(self) -> str:
        return registry.name_of(self)

    @classmethod
    def of_name(cls, name: str) -> type[Self]:
        found: type[Self] = registry.config_class("calibrations", name)
        return found


@dataclass(frozen=True)
class Shift(_Component, ABC):
    """What makes the rows of a data set worse, or only different, as they may come one day: noise, fog, typos. Each row
    by itself, its random numbers from its id: neither batch nor order of the rows changes what becomes of it."""

    plugin_kind: ClassVar[str] = "shifts"
    modalities: ClassVar[tuple[str, ...]] = ("image",)
    """Which examples it can be applied to; see Split."""

    severity: int = 1
    """1, slight, to 5, strong."""
    seed: int = 0
    """Another number gives other random numbers."""

    @abstractmethod
    def shifted(self, example: Example, generator: torch.Generator) -> Example:
        """What becomes of one example. generator: seeded by the row, the same for every severity."""

    def problems(self) -> list[str]:
        if self.severity in range(1, SEVERITIES + 1):
            return []
        return [f"{self.kind}.severity = {self.severity}: must be 1, 2, 3, 4 or 5"]


@dataclass(frozen=True)
class Launcher(_Component, ABC):
    """Where independent tasks are computed, and with what; its fields are flags beside `--on NAME`."""

    plugin_kind: ClassVar[str] = "launchers"

    @abstractmethod
    def launch(self, work: Work) -> Iterator[tuple[int, bool, Any]]:
        """Do all tasks; yields (number of the task, done, value) as things happen: done is False for what a task says,
        True for what it returns. Raises a task's exception, ConfigurationError or UserError, before any task has begun,
        for machines that are not there, lack the package or do not see the folders."""


def _with_source(load: Callable[[Any, int], LoadedBackbone]) -> Callable[[Any, int], LoadedBackbone]:
    """`load` of a backbone that need not say what it was loaded from."""

    @functools.wraps(load)
    def remembering(self: Any, num_classes: int) -> LoadedBackbone:
        loaded = load(self, num_classes)
        if "kind" not in loaded.source:  # `super().load` has already said it
            about = registry.record(self)
            head: dict[str, Any] = {name: about.pop(name) for name in ("kind", "from") if name in about}
            loaded.source = {**head, "num_classes": num_classes, **(loaded.source or about)}
        return loaded

    return remembering


def _with_method(
    build: Callable[[Any, LoadedBackbone, int], Ensemble],
) -> Callable[[Any, LoadedBackbone, int], Ensemble]:
    """`build` of a method whose ensemble need not be told whose it is."""

    @functools.wraps(build)
    def named(self: Any, backbone: LoadedBackbone, seed: int) -> Ensemble:
        ensemble = build(self, backbone, seed)
        ensemble.method, ensemble.source = registry.name_of(self), backbone.source
        return ensemble

    return named
