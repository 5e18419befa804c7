"""The pass that is running: which members, on which rows. All member layers of an ensemble share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from lora_ensemble.errors import ConfigurationError


@dataclass(frozen=True)
class Pass:
    """What runs now: which members, on how many rows in all (len(members) * B), and whether the rows are shared."""

    members: range
    rows: int
    shared: bool


class PassState:
    """The pass that is running, shared by all member layers of one ensemble of `members`."""

    def __init__(self, members: int):
        self.all_members = range(members)
        self.current: Pass | None = Pass(self.all_members, 0, False)

    def grow(self, members: int) -> None:
        """From now on there are so many members."""
        self.__init__(members)  # type: ignore[misc]

    @contextmanager
    def running(self, this: Pass) -> Iterator[None]:
        """Inside, layers run the members of `this`. Afterwards a pass over only some members is forgotten, so that a
        late recomputation cannot silently take others."""
        self.current = this
        try:
            yield
        finally:
            if this.members != self.all_members:
                self.current = None

    @property
    def members(self) -> range:
        """The running members. Raises ConfigurationError where there are none."""
        if self.current is None:
            raise ConfigurationError(
                ["a member layer ran outside its pass; recompute with ensemble.gradient_checkpointing_enable()"]
            )
        return self.current.members

    def take(self, stacked: Tensor) -> Tensor:
        """The rows of the running members of a stacked parameter (M, ...)."""
        members = self.members
        return stacked if members == self.all_members else stacked[members.start : members.stop]

    def rows(self, x: Tensor) -> Tensor:
        """x, (M*B, ..., D), by member: (M, B*..., D). Raises ConfigurationError where its first axis is not M*B."""
        members = self.members
        rows = 0 if self.current is None else self.current.rows
        if rows and x.shape[0] % rows:
            shape = tuple(x.shape)
            raise ConfigurationError([f"an adapted layer got an input {shape}, whose first axis is not {rows} rows"])
        return x.reshape(len(members), -1, x.shape[-1])
