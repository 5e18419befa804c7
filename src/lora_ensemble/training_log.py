"""What a training run writes down: log.jsonl, TensorBoard events, progress; and the watch for losses that are not finite."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lora_ensemble._files import atomic_write_text
from lora_ensemble.errors import DivergedError
from lora_ensemble.folders import readable_errors
from lora_ensemble.optimisation import Plan
from lora_ensemble.progress import OnProgress, Progress

LOG = "log.jsonl"

_LINES = 100  # per run
_SECONDS_BETWEEN_REPORTS = 0.25


class TrainingLog:
    """Collects the members' losses on their device and reads them only when something is to be written, so that a GPU is
    not kept waiting.

    A line of log.jsonl: step, epoch, learning_rate, loss (sum over members), member_losses (means since the last line),
    gradient_norm (before clipping; of all members together), seconds. writes: False in all processes but the main one.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        members: range,
        on_progress: OnProgress | None = None,
        tensorboard: bool = False,
        writes: bool = True,
    ):
        self.path = folder / LOG
        self.total_steps, self.steps_per_epoch, self.members = plan.total_steps, plan.steps_per_epoch, members
        self.on_progress = on_progress if writes else None
        self.tensorboard, self.writes = tensorboard, writes
        self.every = max(1, plan.total_steps // _LINES)
        self.gradient_norm: Tensor | None = None
        self.sum_M: Tensor | None = None
        self.count = 0
        self.first_bad_M: Tensor | None = None
        self.reported = float("-inf")
        self.first_step, self.began = 0, 0.0
        self.events: Any = None

    def start(self, step: int) -> None:
        """Continue after `step` steps: later lines, of an interrupted call, are dropped."""
        self.first_step, self.began = step, time.monotonic()
        if not self.writes:
            return
        kept = [line for line in read_log(self.path) if line["step"] <= step]
        atomic_write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        if self.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self.events = SummaryWriter(str(self.path.parent / "tensorboard"), purge_step=step + 1)

    def add(self, step: int, losses_M: Tensor) -> None:
        """The members' losses of one batch of the step in progress. Raises DivergedError, on a GPU possibly some steps
        later but before anything is saved."""
        self.sum_M = losses_M if self.sum_M is None else self.sum_M + losses_M
        self.count += 1
        self.watch(step, losses_M)

    def watch(self, step: int, values_M: Tensor) -> None:
        """Remember the first step at which a member's value is NaN or infinite."""
        bad = ~torch.isfinite(values_M)
        if len(bad) != len(self.members):
            return  # gradients of members that share one network
        if values_M.device.type == "cpu" and not bool(bad.any()):
            return
        never = torch.full_like(bad, -1, dtype=torch.long) if self.first_bad_M is None else self.first_bad_M
        self.first_bad_M = torch.where(bad & (never < 0), step, never)
        if values_M.device.type == "cpu":
            self.raise_if_diverged()

    def raise_if_diverged(self) -> None:
        """Raises DivergedError that names the member and the step at which its loss or gradient stopped being finite."""
        if self.first_bad_M is None:
            return
        steps = self.first_bad_M.tolist()
        bad = [(step, member) for step, member in zip(steps, self.members, strict=True) if step >= 0]
        if bad:
            step, member = min(bad)
            raise DivergedError(
                f"member {member} diverged: its loss or gradient is NaN or infinite at step {step} of "
                f"{self.total_steps}; the last checkpoint is kept; try a lower learning rate or a smaller gradient clip"
            )

    def step(self, step: int, learning_rate: float, seconds: float) -> None:
        """A step is done: write and report what is due."""
        line_due = step % self.every == 0 or step == self.total_steps
        now = time.monotonic()
        report_due = self.on_progress is not None and (
            line_due or step == self.first_step + 1 or now - self.reported >= _SECONDS_BETWEEN_REPORTS
        )
        if not (line_due or report_due):
            return
        self.raise_if_diverged()
        losses = [] if self.sum_M is None else (self.sum_M / self.count).tolist()
        if report_due and self.on_progress is not None:
            self.reported = now
            done = step - self.first_step
            left = (now - self.began) / done * (self.total_steps - step)
            epoch = step / self.steps_per_epoch
            self.on_progress(
                Progress(step, self.total_steps, epoch, learning_rate, tuple(losses), seconds, left)
            )
        if line_due:
            self._write(step, learning_rate, losses, seconds)
            self.sum_M, self.count = None, 0

    def _write(self, step: int, learning_rate: float, losses: list[float], seconds: float) -> None:
        if not self.writes:
            return
        line = {
            "step": step,
            "epoch": step / self.steps_per_epoch,
            "learning_rate": learning_rate,
            "loss": sum(losses),
            "member_losses": losses,
            "gradient_norm": None if self.gradient_norm is None else float(self.gradient_norm),
            "seconds": round(seconds, 3),
        }
        with readable_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.events is None:
            return
        with readable_errors(self.path):
            self.events.add_scalar("loss/sum", line["loss"], step)
            self.events.add_scalar("learning_rate", learning_rate, step)
            for member, loss in zip(self.members, losses, strict=True):
                self.events.add_scalar(f"loss/member_{member}", loss, step)

    def close(self) -> None:
        """Flush what is open."""
        if self.events is not None:
            self.events.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log. A last line that was cut off is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
