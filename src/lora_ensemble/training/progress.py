"""Progress: what a training run tells whoever watches it, and a display of it for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

from lora_ensemble.printable import printable

_LINES = 10  # printed per run where the output is no terminal


@dataclass(frozen=True)
class Progress:
    """Where a training run stands."""

    step: int
    """Steps done."""
    total_steps: int
    """Steps of the whole run."""
    epoch: float
    """Passes over the training split done."""
    learning_rate: float
    """Of the last step."""
    member_losses: tuple[float, ...]
    """Mean loss of each trained member since the last line of the log, in nats."""
    seconds: float
    """Training time so far, that of earlier, interrupted calls included."""
    remaining: float
    """Estimated seconds to the end."""

    @property
    def losses(self) -> str:
        """The members' losses, briefly: one value, or the mean with the smallest and the largest."""
        if not self.member_losses:
            return ""
        mean = sum(self.member_losses) / len(self.member_losses)
        if len(self.member_losses) == 1:
            return f"loss {mean:.4f}"
        return f"loss {mean:.4f} (members {min(self.member_losses):.4f} to {max(self.member_losses):.4f})"


OnProgress = Callable[[Progress], None]
"""Called at the first and the last step, and often in between."""


class TerminalProgress:
    """A progress bar in a terminal, else one plain line per tenth of the run. Used as a context manager.

    bar: False for lines in a terminal, too, where several runs show their progress at once.
    """

    def __init__(self, title: str = "", stream: TextIO | None = None, *, bar: bool = True):
        self.title = printable(title)
        self.stream = stream or sys.stderr
        self.draws = bar and self.stream.isatty()
        self.bar: Any = None
        self.printed = 0

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, progress: Progress) -> None:
        if self.draws:
            self._draw(progress)
        elif progress.step * _LINES // progress.total_steps > self.printed:
            self.printed = progress.step * _LINES // progress.total_steps
            head = f"{self.title}: " if self.title else ""
            self.stream.write(
                f"{head}step {progress.step}/{progress.total_steps}  epoch {progress.epoch:.1f}  {progress.losses}  "
                f"{progress.seconds:.0f} s, {progress.remaining:.0f} s left\n"
            )
            self.stream.flush()

    def _draw(self, progress: Progress) -> None:
        if self.bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = [
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.fields[losses]}"),
                TextColumn("{task.fields[left]:.0f} s left"),
            ]
            self.bar = Bar(*columns, console=Console(file=self.stream), refresh_per_second=4)
            self.bar.add_task(self.title or "training", total=progress.total_steps, losses="", left=0.0)
            self.bar.start()
        self.bar.update(0, completed=progress.step, losses=progress.losses, left=progress.remaining)
