"""What a training tells an ensemble, and asks of it beside its losses. Each does nothing unless a method says more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

Rows = Callable[[str], Iterator[tuple[dict[str, Any], Tensor]]]
"""The name of a split ("train", or one of `Method.splits_read`) to its batches, in their order and not augmented:
inputs by name, and labels."""


class TrainingHooks:
    """The moments of a training, in their order."""

    def begin(self, rows: int, steps: int) -> None:
        """Training begins, or is resumed: on so many examples, for so many steps in all."""

    def repulsion_M(self, logits: Tensor, members: range) -> Tensor | None:
        """A term of each member's loss that depends on what the others answer, (len(members),), or None. logits:
        (len(members), B, ...)."""
        return None

    def on_step_end(self, step: int, steps: int) -> None:
        """Step number `step` (from 1) of `steps` is done."""

    def on_cycle_end(self, cycle: int) -> None:
        """The learning-rate schedule reached the end of its cycle number `cycle` (from 0)."""

    def conclude(self, rows: Rows) -> None:
        """Training is over; what is fitted to its result is fitted now, in evaluation mode, without gradients. It must
        give the same whenever it is done again."""
