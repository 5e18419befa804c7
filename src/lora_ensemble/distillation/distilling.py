"""`distill`: a run of one network out of a run of an ensemble; the student is a run like any other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lora_ensemble.contracts import LoadedBackbone, Split
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.errors import ConfigurationError, UserError
from lora_ensemble.experiment import Experiment
from lora_ensemble.methods.hydra import Hydra
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.single_lora import SingleLora
from lora_ensemble.runs.adopting import adopt, check_free
from lora_ensemble.runs.building import build
from lora_ensemble.runs.run import Run

if TYPE_CHECKING:
    from lora_ensemble.training.progress import OnProgress


@dataclass(frozen=True)
class Distillation:
    """How a student is made. None: as the run was trained."""

    kind: Literal["hydra", "average", "soup"] = "hydra"
    """hydra: a head for each member, taught by it; average, soup: the mean of all or of some members, not trained."""
    r: int | None = None
    """Rank of the student's update. Default: the run's; 8 where it has none."""
    steps: int | None = None
    """Steps of training. Default: four times those of the run."""
    learning_rate: float | None = None
    """Default: the run's where it adapted by LoRA, else 0.001."""
    seed: int = 0
    """Of the student."""

    def __post_init__(self) -> None:
        found = [
            f"{name} = {value}: must be at least 1"
            for name in ("r", "steps")
            if (value := getattr(self, name)) is not None and value < 1
        ]
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            found.append(f"learning_rate = {self.learning_rate}: must be above 0")
        if self.kind != "hydra" and (self.steps is not None or self.learning_rate is not None):
            found.append(f"kind = {self.kind!r}: is not trained, and takes no steps and no learning rate")
        if found:
            raise ConfigurationError(found)


def distill(
    run: Run,
    folder: str | Path,
    how: Distillation | None = None,
    rows: Sequence[Split] = (),
    on_progress: OnProgress | None = None,
) -> Run:
    """Make a student of a finished run in a new folder, calibrated as `train` does. rows: more to learn from; labels
    are not looked at. Raises UserError for a run of one member, ConfigurationError for what cannot be distilled."""
    how = how or Distillation()
    check_free(Path(folder))
    run.cost  # noqa: B018  raises for an unfinished run
    members = run.experiment.method.members
    if members < 2:
        raise UserError(f"{run.folder} has one member: there is no ensemble to distill, its network is the student")
    if rows and how.kind != "hydra":
        raise ConfigurationError([f"kind = {how.kind!r}: is not trained, and takes no rows"])
    made = _taught if how.kind == "hydra" else _averaged
    experiment, student, about = made(run, how, rows, on_progress)
    origin = {"distilled": how.kind, "run": run.folder.name, "weights": run.weights_digest(), **about}
    adopted = adopt(student, experiment, folder, classes=run.classes, origin=origin)
    if "validation" in experiment.dataset.splits:
        adopted.calibrate()
    return adopted


def _taught(
    run: Run, how: Distillation, rows: Sequence[Split], on_progress: OnProgress | None
) -> tuple[Experiment, Ensemble, dict[str, Any]]:
    from lora_ensemble.distillation.teaching import Taught
    from lora_ensemble.randomness import seeded
    from lora_ensemble.training.fitting import fit

    own, method = run._fitted, run.experiment.method
    training = dataclasses.replace(
        own.training,
        max_steps=how.steps or max(1, 4 * int(run.cost["steps"])),
        schedule="cosine",
        warmup_steps=0,
        learning_rate=how.learning_rate or (own.training.learning_rate if isinstance(method, Lora) else 1e-3),
        cycles=None,
        schedule_steps=None,
        early_stopping=None,
        validation_batches=None,
        class_weights="uniform",
        class_weight_values=None,
        save="end",
        members_per_pass=None,
        data_order="shared",
    )
    student = Hydra(members=method.members, r=how.r or int(getattr(method, "r", 8)))
    experiment = dataclasses.replace(own, method=student, training=training, seed=how.seed, name="")
    with seeded(how.seed):
        _, teacher = run.loaded()
        backbone, ensemble = build(experiment, len(run.classes))
        split = _joined(own.dataset.load("train"), rows, augmented=_is_dense(backbone))
        taught = Taught(ensemble, teacher)
        with TemporaryDirectory() as scratch:
            cost = fit(taught, split, backbone, training, how.seed, Path(scratch), on_progress)
    return experiment, ensemble.eval(), {"rows": len(split), "steps": cost.steps, "seconds": cost.seconds}


def _averaged(
    run: Run, how: Distillation, rows: Sequence[Split], on_progress: OnProgress | None
) -> tuple[Experiment, Ensemble, dict[str, Any]]:
    from lora_ensemble.distillation.averaging import average, greedy_soup
    from lora_ensemble.engine.lora import LoraEnsemble

    own, method = run._fitted, run.experiment.method
    _, ensemble = run.loaded()
    if not isinstance(method, Lora) or not isinstance(ensemble, LoraEnsemble):
        raise ConfigurationError([f"kind = {how.kind!r}: is of LoRA ensembles; this is one of {method.kind!r}"])
    fields = {f.name: getattr(method, f.name) for f in dataclasses.fields(SingleLora) if f.name != "members"}
    single = SingleLora(**{**fields, "first_member": 0, "lora_alpha": None, "r": how.r or method.r})
    experiment = dataclasses.replace(own, method=single, seed=how.seed, name="")
    backbone, student = build(experiment, len(run.classes))
    assert isinstance(student, LoraEnsemble)
    chosen = list(range(ensemble.members))
    if how.kind == "soup":
        from lora_ensemble.runs.calibrated import validation_predictions

        losses_M = [_nll(validation_predictions(run).members([m])) for m in chosen]
        predicted = _Validation(run, backbone)
        chosen = greedy_soup(losses_M, lambda some: predicted.loss(average(ensemble, some, student)))
    return experiment, average(ensemble, chosen, student).eval(), {"members": chosen}


@dataclass(frozen=True)
class _Validation:
    """The validation loss of networks that one backbone feeds."""

    run: Run
    backbone: LoadedBackbone

    def loss(self, ensemble: Ensemble) -> float:
        from lora_ensemble.devices import pick_device
        from lora_ensemble.inference import predict_split

        training = self.run.experiment.training
        return _nll(
            predict_split(
                ensemble,
                self.run.experiment.dataset.load("validation"),
                self.backbone,
                classes=self.run.classes,
                batch_size=training.batch_size,
                device=pick_device(training.device),
                precision=training.precision,
            )
        )


def _nll(p: Any) -> float:
    probs_BC = p.pooled_probs()
    return float(-probs_BC.gather(1, p.labels_B[:, None]).clamp(min=1e-30).log().mean())


def _is_dense(backbone: LoadedBackbone) -> bool:
    """Whether inputs can be mixed: all but those of texts, whose lengths are known beforehand."""
    return backbone.lengths is None


def _joined(train: Split, rows: Sequence[Split], augmented: bool) -> Split:
    """The training rows and the others, without labels (zeros), mixed in batches where that has a meaning."""
    from lora_ensemble.distillation.teaching import Mixed

    parts = [train, *rows]
    examples = _Chained([part.examples for part in parts])
    ids = [f"{number}:{name}" for number, part in enumerate(parts) for name in part.ids]
    augment = Mixed(train.augment) if augmented else train.augment
    labels = np.zeros(len(examples), dtype=np.int64)
    return Split(examples, labels, ids, train.classes, train.modality, augment)


class _Chained(Sequence[Any]):
    """Several sequences as one, each row read when it is asked for."""

    def __init__(self, parts: Sequence[Sequence[Any]]):
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, row: Any) -> Any:
        number = int(np.searchsorted(self._ends, row, side="right"))
        return self._parts[number][int(row) - int(self._ends[number - 1] if number else 0)]
