"""A task on its way to another machine: with the plug-ins, the folder and the version that it belongs to."""

from __future__ import annotations

import os
import pickle
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_ensemble.errors import BusyError, UserError
from lora_ensemble.launching.work import Say, Work
from lora_ensemble.registry.given import VARIABLE

PATIENCE = 180.0
"""Seconds that a task waits for a run folder whose last process died a moment ago, or is about to."""


def version() -> str:
    """Of this package, as it is imported."""
    from lora_ensemble import __version__

    return __version__


@dataclass(frozen=True)
class Parcel:
    """A task, packed."""

    name: str
    version: str
    folder: str
    """In which it was packed; what it names relative to that is there."""
    plugins: str
    """Files of plug-ins that the user gave."""
    content: bytes
    """Function and task, pickled: they are taken out when the plug-ins are known."""

    @classmethod
    def of(cls, work: Work, number: int) -> Parcel:
        content = pickle.dumps((work.function, work.tasks[number]))
        return cls(work.names[number], version(), str(Path.cwd()), os.environ.get(VARIABLE, ""), content)

    def do(self, say: Say) -> Any:
        """The task's value. Raises UserError for another version of this package, and for a folder that is not here."""
        if version() != self.version:
            raise UserError(
                f"{self.name}: lora-ensemble {version()} is installed on {os.uname().nodename}, {self.version} where "
                "the command was given"
            )
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise UserError(f"{self.name}: {self.folder} on {os.uname().nodename}: {error.strerror}") from error
        os.environ[VARIABLE] = self.plugins
        function, task = pickle.loads(self.content)
        return _patiently(lambda: function(task, say))


def _patiently(call: Callable[[], Any]) -> Any:
    """The process before, on a machine that was given up, may not have noticed yet that it is to end."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except BusyError as error:
            if time.monotonic() > until:
                raise
            warnings.warn(str(error), stacklevel=2)
            time.sleep(1.0)
