"""What a launcher is given: tasks, the function that does one, and what the machines that do them have to see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Say = Callable[[Any], None]
"""What a task calls to say how far it is; the value must survive pickling."""


@dataclass(frozen=True)
class Work:
    """Independent tasks. Function, tasks and values must survive pickling."""

    function: Callable[[Any, Say], Any]
    """Called with a task and what it says things with. Called again where a machine died, it goes on where it was."""
    tasks: Sequence[Any]
    names: Sequence[str]
    """Of the tasks, in their order, for messages."""
    folder: Path
    """Into which the tasks write: on storage that all machines share."""
    reads: Sequence[Path] = ()
    """What the tasks read, on the same storage."""
    workers: int | None = None
    """Tasks at a time; the launcher's own choice if None."""
    threads: int = 1
    """Of each of several processes that share one machine."""
