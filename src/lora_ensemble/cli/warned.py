"""Warnings as the command line shows them: one line each, without the place in our code that gave it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lora_ensemble.cli.arguments import PROGRAM
from lora_ensemble.printable import printable


@contextmanager
def warnings_in_a_line() -> Iterator[None]:
    """Inside, a warning is printed as one line on stderr."""
    before = warnings.formatwarning
    warnings.formatwarning = _line
    try:
        yield
    finally:
        warnings.formatwarning = before


def _line(message: Warning | str, *where: Any, **also: Any) -> str:
    return f"{PROGRAM}: warning: {printable(' '.join(str(message).split()))}\n"
