"""From Training to an optimiser, and to how many steps there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from lora_ensemble.errors import ConfigurationError
from lora_ensemble.training.options import Training
from lora_ensemble.training.schedules import ends_of_training, learning_rate_factor


@dataclass(frozen=True)
class Plan:
    """How many steps a training has, where its cycles end, and its learning rate."""

    training: Training
    total_steps: int
    steps_per_epoch: int
    cycles: int
    cycle_ends: tuple[int, ...]
    """Numbers of steps after which a cycle is over; one, at the end, for schedules without cycles."""

    @classmethod
    def of(cls, training: Training, batches_per_epoch: int, members: int) -> Plan:
        """Raises ConfigurationError where the warm-up or the cycles do not fit into the steps."""
        steps_per_epoch = -(-batches_per_epoch // training.gradient_accumulation)
        total = training.max_steps or training.epochs * steps_per_epoch
        if training.warmup_steps >= total:
            raise ConfigurationError(
                [f"training.warmup_steps = {training.warmup_steps}: the training has only {total} steps"]
            )
        if training.schedule_steps is not None and training.schedule_steps < total:
            raise ConfigurationError(
                [f"training.schedule_steps = {training.schedule_steps}: the training has more steps, {total}"]
            )
        cycles = training.cycles or members
        return cls(training, total, steps_per_epoch, cycles, tuple(ends_of_training(total, training, cycles)))

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied by in update number `step`, counted from 0."""
        steps = self.training.schedule_steps or self.total_steps
        return learning_rate_factor(step, steps, self.steps_per_epoch, self.training, self.cycles)

    def keeps(self, step: int) -> bool:
        """Whether the user asked for a checkpoint after this step."""
        every = {"epoch": self.steps_per_epoch, "steps": self.training.save_steps}.get(self.training.save)
        return every is not None and step % every == 0

    def examples(self, size: int, steps: int) -> int:
        """Examples that each member sees in so many steps, of a split with `size` of them."""
        epochs, steps = divmod(steps, self.steps_per_epoch)
        rest = steps * self.training.gradient_accumulation * self.training.batch_size
        return epochs * size + min(rest, size)


def build_optimizer(parameters: list[nn.Parameter], training: Training) -> Optimizer:
    """One group: weight decay applies to every parameter. All three act on each number by itself, so that a member
    steps as it would alone; fused, because many small tensors would take a step of Python each."""
    common: dict[str, Any] = {"lr": training.learning_rate, "weight_decay": training.weight_decay, "fused": True}
    if training.optimizer == "sgd":
        return SGD(parameters, momentum=training.momentum, nesterov=training.nesterov, **common)
    kind = Adam if training.optimizer == "adam" else AdamW
    return kind(parameters, betas=training.betas, **common)
