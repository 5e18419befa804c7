"""A task inside a job: it says how far it is in a file, and saves what it has when the job is about to end."""

from __future__ import annotations

import os
import pickle
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_ensemble.disk.files import atomic_write
from lora_ensemble.launching.outcome import Outcome, outcome
from lora_ensemble.launching.parcel import Parcel

SECONDS = 1.0
"""Between two things that a task says; others are left out."""


@dataclass
class SlurmTask:
    """What submitit calls."""

    parcel: Parcel
    said: Path
    """The file of what it said last, pickled."""
    threads: int

    def __call__(self) -> Outcome:
        import torch

        torch.set_num_threads(self.threads)
        # submitit bypasses SIGTERM and would end at USR2 with nothing saved: a training takes both as a wish to stop.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGUSR2, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        last = 0.0

        def say(value: Any) -> None:
            nonlocal last
            if time.monotonic() - last >= SECONDS:
                last = time.monotonic()
                content = pickle.dumps(value)
                atomic_write(self.said, lambda temporary: temporary.write_bytes(content))

        return outcome(lambda: self.parcel.do(say))
