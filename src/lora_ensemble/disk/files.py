"""Atomic writes: a file is the old one or the complete new one, whatever happens in between."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from lora_ensemble.errors import UserError


def atomic_write(path: str | Path, writer: Callable[[Path], object]) -> None:
    """Let `writer` fill a temporary file in the folder of `path`, then move it to `path`.

    The folder is made where it is missing. Raises UserError, naming path and cause, for a file that cannot be
    written (full disk, no permission); the temporary file is then removed, and what was at `path` stays.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        ordinary = temporary.stat().st_mode
        writer(temporary)
        temporary.chmod(ordinary)  # safetensors makes files that only their owner can read
        _flush(temporary)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        cause = error.strerror if isinstance(error, OSError) else None
        raise UserError(f"cannot write {path}: {cause or error}") from error
    finally:
        with contextlib.suppress(OSError):  # its folder may not exist
            temporary.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # the move itself; some systems cannot flush folders
        _flush(path.parent)


def atomic_write_text(path: str | Path, text: str) -> None:
    """`atomic_write` of a text in UTF-8."""
    atomic_write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def atomic_write_json(path: str | Path, data: Any) -> None:
    """`atomic_write` of JSON, indented and readable."""
    atomic_write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def _flush(path: Path) -> None:
    """Have the system put a file, or the names in a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
