"""The watch for members whose loss or gradient is no longer finite."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lora_ensemble.errors import DivergedError
from lora_ensemble.training.checkpoints import numbered


class DivergenceWatch:
    """Remembers, on the device, the first step at which each member's values were NaN or infinite. On a CPU it raises
    at once; a GPU is not kept waiting for an answer until one is needed (`check`)."""

    def __init__(self, members: range, total_steps: int, folder: Path | None = None):
        """folder: of the checkpoints, to say whether there is one."""
        self.members, self.total_steps, self.folder = members, total_steps, folder
        self.first_M: Tensor | None = None

    def see(self, step: int, values_M: Tensor) -> None:
        """Values of the members at a step; of any other number of things (a network that members share) they are
        ignored. Raises DivergedError on a CPU."""
        if len(values_M) != len(self.members):
            return
        bad_M = ~torch.isfinite(values_M)
        on_cpu = bad_M.device.type == "cpu"
        if on_cpu and not bool(bad_M.any()):
            return
        if self.first_M is None:
            self.first_M = torch.zeros_like(bad_M, dtype=torch.long)
        self.first_M = torch.where(bad_M & (self.first_M == 0), step, self.first_M)
        if on_cpu:
            self.check()

    def check(self) -> None:
        """Raises DivergedError that names the member and the step."""
        if self.first_M is None:
            return
        bad = [(step, m) for step, m in zip(self.first_M.tolist(), self.members, strict=True) if step]
        if bad:
            step, member = min(bad)
            there = [] if self.folder is None else numbered(self.folder)
            kept = f"the last checkpoint, {there[-1].name}, is kept; " if there else ""
            raise DivergedError(
                f"member {member} diverged: its loss or gradient is NaN or infinite at step {step} of "
                f"{self.total_steps}; {kept}try a lower learning rate or gradient clip"
            )
