"""Training an ensemble on a split: what a run needs around the trainer, and what it cost."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lora_ensemble.contracts import LoadedBackbone, Split
from lora_ensemble.devices import pick_device, precision_problem, rounding_problem
from lora_ensemble.disk.folders import remove_leftovers
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.randomness import derived_seed
from lora_ensemble.training.checkpoints import CHECKPOINTS, checkpoints
from lora_ensemble.training.class_weights import class_weights
from lora_ensemble.training.data import TrainingBatches, check_split
from lora_ensemble.training.log import TrainingLog
from lora_ensemble.training.memory import forget_peak, peak_bytes
from lora_ensemble.training.optimisation import Plan
from lora_ensemble.training.options import Training
from lora_ensemble.training.progress import OnProgress


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


def fit(
    ensemble: Ensemble,
    split: Split,
    backbone: LoadedBackbone,
    training: Training,
    seed: int,
    folder: Path,
    on_progress: OnProgress | None = None,
) -> Cost:
    """Train an ensemble in place; resumes from the newest complete checkpoint in `folder`/checkpoints.

    An ensemble without trainable parameters is done at once.
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
    if training.members_per_pass is not None:
        ensemble.members_per_pass = training.members_per_pass
    if training.gradient_checkpointing:
        ensemble.gradient_checkpointing_enable()
    weights = class_weights(np.asarray(split.labels), len(split.classes), training.class_weights, training.ens_beta)
    ensemble.class_weights = None if weights is None else torch.from_numpy(weights)
    with _quiet(), _cheap_collection():
        return _run(ensemble, split, backbone, training, seed, folder, on_progress, device)


def _run(
    ensemble: Ensemble,
    split: Split,
    backbone: LoadedBackbone,
    training: Training,
    seed: int,
    folder: Path,
    on_progress: OnProgress | None,
    device: torch.device,
) -> Cost:
    from lora_ensemble.training.trainer import EnsembleTrainer

    batches_per_epoch = -(-len(split) // training.batch_size)
    plan = Plan.of(training, batches_per_epoch, ensemble.members)
    where = folder / CHECKPOINTS
    args = _arguments(training, plan, where, derived_seed(seed, "training", ensemble.first_member), device)
    if args.should_save:
        remove_leftovers(where)
    data = TrainingBatches(split, backbone, ensemble, training, seed, args.process_index, args.world_size)
    record = TrainingLog(folder, plan, data.members, on_progress, training.tensorboard, args.should_save)
    trainer = EnsembleTrainer(ensemble, data, plan, record, args)
    present = checkpoints(where)
    forget_peak(device)
    try:
        trainer.train(resume_from_checkpoint=str(present[-1].folder) if present else None)
        seconds = trainer.seconds
    finally:
        record.close()
        for wrapper in ("forward", "_original_forward"):  # mixed precision put them before the class's own
            vars(ensemble).pop(wrapper, None)
    return Cost(
        steps=plan.total_steps,
        seconds=seconds,
        examples_per_second=plan.examples(len(split)) / seconds,
        peak_memory_bytes=peak_bytes(device),
        trainable_parameters=sum(p.numel() for p in ensemble.parameters() if p.requires_grad),
        device=device.type,
    )


def _arguments(training: Training, plan: Plan, folder: Path, seed: int, device: torch.device):
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(folder),
        max_steps=plan.total_steps,
        per_device_train_batch_size=training.batch_size,
        gradient_accumulation_steps=training.gradient_accumulation,
        learning_rate=training.learning_rate,
        bf16=training.precision == "bf16",
        fp16=training.precision == "fp16",
        use_cpu=device.type == "cpu",
        seed=seed % 2**32,
        # What follows is done by EnsembleTrainer and TrainingLog.
        max_grad_norm=0.0,
        save_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the chatter of transformers and accelerate; their errors still come through."""
    loggers = [logging.getLogger(name) for name in ("transformers", "accelerate")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _cheap_collection() -> Iterator[None]:
    """With what was imported so far set aside, the Trainer's own gc.collect() takes milliseconds, not half a second."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def wait_for_all() -> None:
    """Wait until every process of a distributed run has come here."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
