"""What a training run writes down and tells: log.jsonl, TensorBoard events, progress."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from lora_ensemble.disk.files import atomic_write_text
from lora_ensemble.disk.folders import readable_errors
from lora_ensemble.training.optimisation import Plan
from lora_ensemble.training.progress import OnProgress, Progress

LOG = "log.jsonl"

_LINES = 100  # per run
_SECONDS_BETWEEN_REPORTS = 0.25


class TrainingLog:
    """Collects the members' losses on their device, and reads them only when a line or a report is due, so that a GPU
    is not kept waiting.

    A line of log.jsonl: step, epoch, learning_rate, loss (sum over the members), member_losses (means since the last
    line), gradient_norm (of all members together, before clipping; null without clipping), seconds. writes: False in
    all processes but the main one; with several processes the losses are those of its share.
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
        self.folder, self.plan, self.members, self.writes = folder, plan, members, writes
        self.on_progress, self.tensorboard = on_progress, tensorboard
        self.every = max(1, plan.total_steps // _LINES)
        self.gradient_norm: Tensor | None = None
        self.sum_M: Tensor | None = None
        self.count = 0
        self.first_step, self.began, self.reported = 0, 0.0, 0.0
        self.events: Any = None

    def start(self, step: int) -> None:
        """Go on after `step` steps. What an interrupted call wrote about later ones is dropped."""
        self.first_step, self.began = step, time.monotonic()
        if not self.writes:
            return
        kept = [line for line in read_log(self.folder / LOG) if line["step"] <= step]
        atomic_write_text(self.folder / LOG, "".join(json.dumps(line) + "\n" for line in kept))
        if self.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self.events = SummaryWriter(str(self.folder / "tensorboard"), purge_step=step + 1)

    def add(self, losses_M: Tensor) -> None:
        """The members' losses of one batch."""
        self.sum_M = losses_M if self.sum_M is None else self.sum_M + losses_M
        self.count += 1

    def due(self, step: int) -> bool:
        """Whether `step` will read the losses."""
        return self.writes and (self._line_due(step) or self._report_due(step))

    def step(self, step: int, learning_rate: float, seconds: float) -> None:
        """A step is done: write and report what is due."""
        if not self.due(step):
            return
        assert self.sum_M is not None
        losses = (self.sum_M / self.count).tolist()
        if self.on_progress is not None and self._report_due(step):
            self.reported = time.monotonic()
            per_step = (self.reported - self.began) / (step - self.first_step)
            total, epoch = self.plan.total_steps, step / self.plan.steps_per_epoch
            left = per_step * (total - step)
            self.on_progress(Progress(step, total, epoch, learning_rate, tuple(losses), seconds, left))
        if self._line_due(step):
            self._write(step, learning_rate, losses, seconds)
            self.sum_M, self.count = None, 0

    def close(self) -> None:
        """Flush what is open."""
        if self.events is not None:
            self.events.close()

    def _line_due(self, step: int) -> bool:
        return step % self.every == 0 or step == self.plan.total_steps

    def _report_due(self, step: int) -> bool:
        if self.on_progress is None:
            return False
        first = step == self.first_step + 1
        return first or self._line_due(step) or time.monotonic() - self.reported >= _SECONDS_BETWEEN_REPORTS

    def _write(self, step: int, learning_rate: float, losses: list[float], seconds: float) -> None:
        line = {
            "step": step,
            "epoch": step / self.plan.steps_per_epoch,
            "learning_rate": learning_rate,
            "loss": sum(losses),
            "member_losses": losses,
            "gradient_norm": None if self.gradient_norm is None else float(self.gradient_norm),
            "seconds": round(seconds, 3),
        }
        with readable_errors(self.folder / LOG):
            with (self.folder / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            if self.events is not None:
                self._write_events(line)

    def _write_events(self, line: dict[str, Any]) -> None:
        self.events.add_scalar("loss/sum", line["loss"], line["step"])
        self.events.add_scalar("learning_rate", line["learning_rate"], line["step"])
        for member, loss in zip(self.members, line["member_losses"], strict=True):
            self.events.add_scalar(f"loss/member_{member}", loss, line["step"])


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last line that was cut off is left out."""
    lines: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
