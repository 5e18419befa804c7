"""Training: everything about how an ensemble is trained, the same for every method and backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NO_EFFECT = frozenset(
    {"members_per_pass", "gradient_checkpointing", "checkpoint_seconds", "keep_checkpoints"}
    | {"tensorboard", "workers", "device"}
)
"""Fields that change cost or convenience and no result: a run may be resumed with other values."""

ADDED = frozenset({"batches_per_epoch", "class_weight_values", "early_stopping", "loss", "validation_batches"})
"""Fields that came after version 0.1.0: at their default they do not count among what determines a result, so that what
was made before stays what it was."""


@dataclass(frozen=True)
class Training:
    """How to train. A step is one update of the optimiser; M members see `batch_size` examples each in it."""

    epochs: int = 10
    """Passes over the training split; used where `max_steps` is not given."""
    max_steps: int | None = None
    """Number of steps, whatever the number of epochs that makes."""
    batch_size: int = 32
    """Examples that each member sees in one forward pass, over all devices together."""
    batches_per_epoch: int | None = None
    """An epoch ends after so many batches, and the rest of its rows is left out; it is the whole split if none."""
    gradient_accumulation: int = 1
    """Batches per step. The loss is the mean over them, so n batches of b rows equal one of n * b rows."""

    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    """adam adds weight decay to the gradient (L2), adamw to the step."""
    learning_rate: float = 1e-3
    """Highest learning rate; the schedule multiplies it."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam and AdamW: decay of the running means of the gradient and of its square."""
    momentum: float = 0.0
    """SGD: momentum."""
    nesterov: bool = False
    """SGD: Nesterov's form of momentum."""
    weight_decay: float = 0.0
    """Weight decay of every trained parameter, biases included."""
    gradient_clip: float | None = 1.0
    """Largest norm of the gradient; none or 0 turns clipping off."""
    clip: Literal["member", "joint"] = "member"
    """Clip each member's gradient as if it were trained alone, or that of all members together."""

    schedule: Literal["cosine", "linear", "constant", "cyclic-cosine", "step"] = "cosine"
    """How the learning rate falls: to 0 along a cosine or a line, not at all, in cycles, or by a factor every epoch."""
    warmup_steps: int = 0
    """Steps in which the learning rate rises linearly from 0, before the schedule begins."""
    cycles: int | None = None
    """cyclic-cosine: number of cycles; one per member if none."""
    first_cycle: float = 1.0
    """cyclic-cosine: length of the first cycle in units of the others; above 1 it is a burn-in."""
    min_lr_ratio: float = 1e-6
    """cyclic-cosine: the learning rate at the end of a cycle, as a fraction of the highest."""
    step_gamma: float = 0.85
    """step: the factor of every epoch."""
    first_step_epoch: int = 5
    """step: epochs at the full learning rate before the factor is applied for the first time."""
    schedule_steps: int | None = None
    """cosine and linear: steps after which the learning rate would be 0, where training ends before."""

    data_order: Literal["shared", "independent", "fixed"] = "shared"
    """All members see the same batches, shuffled; or each has batches of its own, shuffled by seed and member; or all
    members see the rows in the order of the data set, the same in every epoch."""
    group_by_length: bool = False
    """Batches of rows of like length, still random: less padding. For texts."""
    class_weights: Literal["uniform", "ins", "isns", "ens"] = "uniform"
    """Weights of the classes by their number of training examples n: equal, 1/n, 1/sqrt(n), or effective number."""
    ens_beta: float = 0.9991
    """ens: beta of the effective number (1 - beta^n) / (1 - beta)."""
    class_weight_values: tuple[float, ...] | None = None
    """Weights of the classes in their order, in place of weights by number; only their ratios count."""

    loss: Literal["cross-entropy", "binary-cross-entropy"] | None = None
    """What is minimised: cross-entropy if none; binary-cross-entropy takes each class against all others."""

    early_stopping: int | None = None
    """Stop when the loss on the validation split has not fallen for so many epochs; the best epoch's weights stay."""
    validation_batches: int | None = None
    """early_stopping: look at so many batches of the validation split, chosen by the seed; at all of it if none."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of forward and backward; parameters and optimiser stay as they are."""
    members_per_pass: int | None = None
    """At most so many members in memory at once; all if none. Changes no number."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time, same numbers."""

    save: Literal["end", "epoch", "steps"] = "end"
    """Which checkpoints are kept beside the final weights: none, one per epoch, or one per `save_steps`."""
    save_steps: int = 500
    """steps: distance between kept checkpoints."""
    keep_checkpoints: int | None = None
    """Keep only the last so many checkpoints; all if none."""
    checkpoint_seconds: float = 60.0
    """A killed run loses at most about so much work: longest time between two checkpoints to resume from."""
    tensorboard: bool = False
    """Write TensorBoard events into the run folder."""
    workers: int = 0
    """Processes that read the data; 0 reads in the main process."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""

    def problems(self) -> list[str]:
        """What is wrong with the values, a line each, naming the field. Types are checked before."""
        least = {
            "epochs": 1,
            "max_steps": 1,
            "schedule_steps": 1,
            "batch_size": 1,
            "batches_per_epoch": 1,
            "gradient_accumulation": 1,
            "cycles": 1,
            "first_step_epoch": 0,
            "members_per_pass": 1,
            "save_steps": 1,
            "keep_checkpoints": 1,
            "early_stopping": 1,
            "validation_batches": 1,
            "warmup_steps": 0,
            "workers": 0,
            "learning_rate": 0.0,
            "weight_decay": 0.0,
            "gradient_clip": 0.0,
            "momentum": 0.0,
            "checkpoint_seconds": 0.0,
        }
        found = []
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and not value >= low:
                found.append(f"training.{name} = {value}: must be at least {low:g}")
        inside = {"min_lr_ratio": self.min_lr_ratio, "ens_beta": self.ens_beta}
        for i, beta in enumerate(self.betas):
            inside[f"betas[{i}]"] = beta
        found += [f"training.{n} = {v}: must be in [0, 1)" for n, v in inside.items() if not 0 <= v < 1]
        found += [
            f"training.{n} = {v}: must be above 0"
            for n, v in (("first_cycle", self.first_cycle), ("step_gamma", self.step_gamma))
            if not v > 0
        ]
        return found + self._conflicts()

    def _conflicts(self) -> list[str]:
        found = []
        if self.max_steps is not None and self.warmup_steps >= self.max_steps > 0:
            found.append(
                f"training.warmup_steps = {self.warmup_steps}: must be below training.max_steps = {self.max_steps}"
            )
        if self.cycles is not None and self.schedule != "cyclic-cosine":
            found.append(
                f"training.cycles = {self.cycles}: only schedule 'cyclic-cosine' has cycles, not {self.schedule!r}"
            )
        if self.schedule_steps is not None and self.schedule not in ("cosine", "linear"):
            found.append(f"training.schedule_steps: only 'cosine' and 'linear' have it, not {self.schedule!r}")
        if self.early_stopping is not None and self.schedule == "cyclic-cosine":
            found.append("training.early_stopping: a cycle of schedule 'cyclic-cosine' is not left before its end")
        if self.validation_batches is not None and self.early_stopping is None:
            found.append(f"training.validation_batches = {self.validation_batches}: needs training.early_stopping")
        if (values := self.class_weight_values) is not None:
            if self.class_weights != "uniform":
                found.append("training.class_weight_values: in place of training.class_weights; give one of them")
            if not all(0 <= value < float("inf") for value in values) or not sum(values) > 0:
                found.append(f"training.class_weight_values = {values}: must be at least 0, and one of them above 0")
        if self.group_by_length and self.data_order == "fixed":
            found.append("training.group_by_length: changes the order, which training.data_order = 'fixed' forbids")
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            found.append("training.nesterov: needs optimizer 'sgd' and a momentum above 0")
        if self.momentum and self.optimizer != "sgd":
            found.append(f"training.momentum = {self.momentum}: only optimizer 'sgd' has it, not {self.optimizer!r}")
        return found
