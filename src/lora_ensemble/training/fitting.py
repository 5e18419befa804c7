"""Training an ensemble on a split: what a run needs around the loop, and what it cost."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate.utils import set_seed
from torch import Tensor

from lora_ensemble.contracts import LoadedBackbone, Split
from lora_ensemble.devices import pick_device, precision_problem, rounding_problem
from lora_ensemble.disk.folders import remove_leftovers
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.randomness import derived_seed
from lora_ensemble.training.acceleration import accelerated
from lora_ensemble.training.checkpoints import CHECKPOINTS
from lora_ensemble.training.class_weights import class_weights
from lora_ensemble.training.concluding import conclude
from lora_ensemble.training.data import TrainingBatches, check_split
from lora_ensemble.training.early_stopping import EarlyStopping, check_validation
from lora_ensemble.training.log import TrainingLog
from lora_ensemble.training.loop import TrainingLoop
from lora_ensemble.training.memory import forget_peak, peak_bytes
from lora_ensemble.training.optimisation import Plan
from lora_ensemble.training.options import Training
from lora_ensemble.training.progress import OnProgress
from lora_ensemble.training.stopping import stops_when_asked

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Cost:
    """What a training took."""

    steps: int
    """Updates of the optimiser."""
    seconds: float
    """Training time; loading the data and the backbone is not in it."""
    examples_per_second: float
    """Examples that each member saw, per second."""
    peak_memory_bytes: int | None
    """Most memory in use: allocated on a GPU, resident of the whole process on a CPU; of the last call that trained."""
    trainable_parameters: int
    """Numbers that training changes, of all members together."""
    device: str
    """Type of the device."""
    best_step: int | None = None
    """early_stopping: the step whose weights are the result."""
    validation_loss: float | None = None
    """early_stopping: the loss on the validation split after that step."""


def fit(
    ensemble: Ensemble,
    split: Split,
    backbone: LoadedBackbone,
    training: Training,
    seed: int,
    folder: Path,
    on_progress: OnProgress | None = None,
    validation: Split | None = None,
) -> Cost:
    """Train an ensemble in place; resumes from the newest whole checkpoint in `folder`/checkpoints.

    An ensemble without trainable parameters is done at once. validation: for `early_stopping`, and for a method that
    says so (`Method.splits_read`).
    Writes log.jsonl, checkpoints and, if asked for, tensorboard/ into the folder. Raises DataError for a split that
    cannot be trained on, ConfigurationError for options that do not fit it, DivergedError for a loss that is not
    finite.
    """
    device = pick_device(training.device)
    if problem := precision_problem(training.precision, device):
        raise ConfigurationError([problem])
    trained = [p for p in ensemble.parameters() if p.requires_grad]
    if problem := rounding_problem(trained):
        raise ConfigurationError([problem])
    if not trained:
        return Cost(0, 0.0, 0.0, None, trainable_parameters=0, device=device.type)
    check_split(split)
    check_validation(training, validation)
    if training.members_per_pass is not None:
        ensemble.members_per_pass = training.members_per_pass
    if training.gradient_checkpointing:
        ensemble.gradient_checkpointing_enable()
    ensemble.class_weights = _class_weights(split, training)
    if training.loss is not None:
        if ensemble.objective is not None:
            raise ConfigurationError([f"training.loss = {training.loss!r}: the backbone brings a loss of its own"])
        ensemble.loss_name = training.loss
    with _quiet(), stops_when_asked(), accelerated(device, training.precision) as accelerator:
        return _run(ensemble, split, backbone, training, seed, folder, on_progress, validation, accelerator)


def _class_weights(split: Split, training: Training) -> Tensor | None:
    """Raises ConfigurationError for another number of weights than classes."""
    if (given := training.class_weight_values) is not None:
        if len(given) != len(split.classes):
            raise ConfigurationError(
                [f"training.class_weight_values: {len(given)} values, there are {len(split.classes)} classes"]
            )
        return torch.tensor(given, dtype=torch.float32)
    weights = class_weights(np.asarray(split.labels), len(split.classes), training.class_weights, training.ens_beta)
    return None if weights is None else torch.from_numpy(weights)


def _run(
    ensemble: Ensemble,
    split: Split,
    backbone: LoadedBackbone,
    training: Training,
    seed: int,
    folder: Path,
    on_progress: OnProgress | None,
    validation: Split | None,
    accelerator: Accelerator,
) -> Cost:
    where, device, writes = folder / CHECKPOINTS, accelerator.device, accelerator.is_main_process
    if writes:
        remove_leftovers(where)
    set_seed(derived_seed(seed, "training", ensemble.first_member) % 2**32)
    data = TrainingBatches(
        split, backbone, ensemble, training, seed, accelerator.process_index, accelerator.num_processes
    )
    plan = Plan.of(training, len(data.sampler), ensemble.members)
    record = TrainingLog(folder, plan, data.members, on_progress, training.tensorboard, writes)
    stopping = None
    ensemble.begin(len(split), plan.total_steps)
    trainable = sum(p.numel() for p in ensemble.parameters() if p.requires_grad)
    if training.early_stopping is not None and validation is not None:
        stopping = EarlyStopping(validation, backbone, training, seed, accelerator)
    forget_peak(device)
    try:
        done = TrainingLoop(ensemble, data, plan, record, accelerator, where, stopping).run()
        began = time.monotonic()
        conclude(ensemble, split, validation, backbone, training, accelerator)
        done.seconds += time.monotonic() - began
    finally:
        record.close()
        for wrapper in ("forward", "_original_forward"):  # mixed precision put them before the class's own
            vars(ensemble).pop(wrapper, None)
    return Cost(
        steps=done.step,
        seconds=done.seconds,
        examples_per_second=plan.examples(data.sampler.rows, done.step) / done.seconds,
        peak_memory_bytes=peak_bytes(device),
        trainable_parameters=trainable,
        device=device.type,
        best_step=None if done.best is None else done.best.step,
        validation_loss=None if done.best is None else done.best.loss,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the chatter of accelerate; its errors still come through."""
    logger = logging.getLogger("accelerate")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def wait_for_all() -> None:
    """Wait until every process of a distributed run has come here."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
