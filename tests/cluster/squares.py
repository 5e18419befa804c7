"""Tasks that the workers of a cluster can import."""

from __future__ import annotations

from typing import Any

from lora_ensemble.errors import UserError
from lora_ensemble.launching.work import Say


def squared(task: int, say: Say) -> Any:
    say(f"squaring {task}")
    return task**2


def mistaken(task: int, say: Say) -> Any:
    raise UserError(f"{task} is mine")
