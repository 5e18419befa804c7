"""Plug-ins that only the tests have, in `plugins/`, given as a user gives a file. Not a test file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parent / "plugins").glob("*.py"))


@contextmanager
def plugged(*files: Path) -> Iterator[None]:
    """Inside the block, some files' plug-ins are found, in processes that are started, too; ours where none is named.
    For a fixture."""
    from lora_ensemble import registry

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORA_ENSEMBLE_PLUGINS", "")
        for file in files or FILES:
            registry.give(file)
        yield
