"""What comes of a task: its value, or an error that survives the way to the process that asked."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, Literal

from lora_ensemble.errors import StoppedError, UserError

Outcome = tuple[Literal["done", "stopped", "error"], Any]
"""stopped: it saved what it had, and goes on where it is called again."""


def outcome(call: Callable[[], Any]) -> Outcome:
    """Call, and say what came of it."""
    try:
        return "done", call()
    except StoppedError as error:
        return "stopped", str(error)
    except Exception as error:
        return "error", portable(error)


def portable(error: Exception) -> Exception:
    """A user's mistake as it is; anything else with its traceback, which would not survive the way."""
    if isinstance(error, UserError):
        return UserError(str(error))
    return RuntimeError("in a worker process:\n" + "".join(traceback.format_exception(error)))
