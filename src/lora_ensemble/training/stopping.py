"""SIGTERM during a training: it saves what it has after the step that it is at, and ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ASKED = threading.Event()
"""Set by the signal."""


@contextmanager
def stops_when_asked() -> Iterator[None]:
    """Inside the block SIGTERM sets `ASKED`; a second one ends the process at once. Where somebody else handles it, in
    another thread than the main one, and in one of several processes, which must stop together, nothing changes."""
    alone = int(os.environ.get("WORLD_SIZE", 1)) == 1
    ours = threading.current_thread() is threading.main_thread() and alone
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    ASKED.clear()
    signal.signal(signal.SIGTERM, _asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ASKED.clear()


def _asked(number: int, frame: object) -> None:
    ASKED.set()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
