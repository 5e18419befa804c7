"""An estimate before a training: memory by kind, time by a few measured steps, and what fits into a given memory."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lora_ensemble.errors import UserError
from lora_ensemble.experiment import Experiment
from lora_ensemble.runs.building import build, check_modality

if TYPE_CHECKING:
    from lora_ensemble.contracts import LoadedBackbone, Split
    from lora_ensemble.engine.ensemble import Ensemble
    from lora_ensemble.training.data import TrainingBatches
    from lora_ensemble.training.options import Training

STEPS = 3
"""Steps that are measured, after one to warm up."""

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
_STATES = {"sgd": 0, "adam": 2, "adamw": 2}


@dataclass(frozen=True)
class Estimate:
    """Of one training, in bytes and seconds; beside it, Python and torch need some hundred MiB of their own."""

    parameters: int
    """The frozen and the trained weights."""
    gradients: int
    optimizer: int
    activations: int
    """What the largest pass keeps for its backward pass."""
    seconds_per_step: float
    """Median of a few steps, on this machine as it is now."""
    steps_per_epoch: int
    total_steps: int
    batch_size: int
    gradient_accumulation: int
    members_per_pass: int

    @property
    def bytes(self) -> int:
        """All of them."""
        return self.parameters + self.gradients + self.optimizer + self.activations

    @property
    def seconds_per_epoch(self) -> float:
        return self.seconds_per_step * self.steps_per_epoch


def estimate(experiment: Experiment, memory: int | None = None) -> Estimate:
    """Build the ensemble, take a few steps on its first batches, and throw it away.

    memory: bytes; members per pass, and where one member alone is too much the batch size, are lowered until the
    training fits, by gradient accumulation at the same number of examples per step. Raises UserError where nothing
    fits, or there is nothing to train.
    """
    from lora_ensemble.randomness import seeded

    experiment.check()
    split = experiment.dataset.load("train")
    check_modality(experiment, split)
    with seeded(experiment.seed):
        fitted = dataclasses.replace(experiment, backbone=experiment.backbone.fitted(split))
        while True:
            backbone, ensemble = build(fitted, len(split.classes))
            if not any(p.requires_grad for p in ensemble.parameters()):
                raise UserError(f"method {experiment.method.kind!r} trains nothing: there is nothing to plan")
            found = _measured(fitted, split, backbone, ensemble)
            if memory is None or found.bytes <= memory:
                return found
            fitted = dataclasses.replace(fitted, training=_smaller(fitted, found, memory))


def _smaller(experiment: Experiment, found: Estimate, memory: int) -> Training:
    training, fixed = experiment.training, found.bytes - found.activations
    if fixed >= memory:
        raise UserError(
            f"{_mib(memory)} are too little: weights, gradients and optimiser alone take {_mib(fixed)}; fewer members "
            "or a smaller backbone would"
        )
    each = found.activations / found.members_per_pass
    members = int((memory - fixed) // each)
    if found.members_per_pass > 1:
        return dataclasses.replace(training, members_per_pass=max(1, min(members, found.members_per_pass - 1)))
    if training.batch_size == 1:
        raise UserError(f"{_mib(memory)} are too little: one example of one member takes {_mib(found.bytes)}")
    halved = training.batch_size // 2
    batches = -(-training.batch_size * training.gradient_accumulation // halved)
    return dataclasses.replace(training, batch_size=halved, gradient_accumulation=batches)


def _measured(experiment: Experiment, split: Split, backbone: LoadedBackbone, ensemble: Ensemble) -> Estimate:
    from lora_ensemble.devices import pick_device
    from lora_ensemble.training.data import TrainingBatches, check_split
    from lora_ensemble.training.optimisation import Plan, build_optimizer

    training = experiment.training
    check_split(split)
    device = pick_device(training.device)
    if training.members_per_pass is not None:
        ensemble.members_per_pass = training.members_per_pass
    if training.gradient_checkpointing:
        ensemble.gradient_checkpointing_enable()
    ensemble.to(device).train()
    data = TrainingBatches(split, backbone, ensemble, training, experiment.seed)
    plan = Plan.of(training, len(data.sampler), ensemble.members)
    trained = [p for p in ensemble.parameters() if p.requires_grad]
    optimizer = build_optimizer(trained, training)
    seconds, kept = [], 0
    for step in range(min(1 + STEPS, plan.total_steps)):
        began = time.perf_counter()
        kept = max(kept, _step(ensemble, data, training, device, step))
        ensemble.clip_grad_norm_(training.gradient_clip or float("inf"))
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return Estimate(
        parameters=_bytes(ensemble.parameters()),
        gradients=_bytes(trained),
        optimizer=(_STATES[training.optimizer] or bool(training.momentum)) * _bytes(trained),
        activations=kept,
        seconds_per_step=statistics.median(seconds[1:] or seconds),
        steps_per_epoch=plan.steps_per_epoch,
        total_steps=plan.total_steps,
        batch_size=training.batch_size,
        gradient_accumulation=training.gradient_accumulation,
        members_per_pass=max(len(part) for part in ensemble.passes()),
    )


def _step(ensemble: Ensemble, data: TrainingBatches, training: Training, device: torch.device, step: int) -> int:
    """Forward and backward of one step; most bytes that a pass kept in between."""
    kept = 0
    group = next(iter(data.rest_of_epoch(step % max(1, len(data.sampler) // training.gradient_accumulation))))
    for number, raw in enumerate(group):
        batch = data.prepared(raw, device, step, number)
        for members in ensemble.passes():
            dtype = _AUTOCAST.get(training.precision)
            with _keeping(ensemble) as sizes, torch.autocast(device.type, dtype, enabled=dtype is not None):
                loss = ensemble(members=members, shared=data.shared, **data.rows_of(batch, members)).loss
            kept = max(kept, sum(sizes.values()))
            (loss / len(group)).backward()
    return kept


@contextmanager
def _keeping(ensemble: Ensemble) -> Iterator[dict[int, int]]:
    """Bytes by storage of all that is kept for the backward pass inside the block, but for the ensemble's weights."""
    own = {p.untyped_storage().data_ptr() for p in ensemble.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield sizes


def _bytes(parameters: Iterable[Tensor]) -> int:
    return sum(p.numel() * p.itemsize for p in parameters)


def _mib(size: float) -> str:
    return f"{size / 2**20:.0f} MiB"
