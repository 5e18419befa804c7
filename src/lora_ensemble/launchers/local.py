"""Processes of this machine, as many at a time as --jobs says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lora_ensemble.contracts import Launcher

if TYPE_CHECKING:
    from lora_ensemble.launching.work import Work


@dataclass(frozen=True)
class Local(Launcher):
    """They share the cores."""

    def launch(self, work: Work) -> Iterator[tuple[int, bool, Any]]:
        from lora_ensemble.launching.processes import in_processes

        yield from in_processes(work.function, work.tasks, work.workers or 1, work.threads)
