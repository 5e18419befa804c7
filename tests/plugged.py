"""Plug-ins that only the tests have, in `plugins/`, put where the registry looks. Not a test file."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lora_ensemble import registry

FOLDERS = {folder.name: folder for folder in (Path(__file__).parent / "plugins").iterdir()}


def plug_in() -> None:
    """From now on, they are found."""
    for kind, folder in FOLDERS.items():
        importlib.import_module(f"lora_ensemble.{kind}").__path__.append(str(folder))


def found_again(module: str, name: str, *values: Any) -> Any:
    """An instance of a data set of ours in a process that knows nothing of it."""
    if str(FOLDERS["datasets"]) not in importlib.import_module("lora_ensemble.datasets").__path__:
        plug_in()
    return getattr(importlib.import_module(f"lora_ensemble.datasets.{module}"), name)(*values)


@contextmanager
def plugged() -> Iterator[None]:
    """Inside the block, they are found; for a fixture."""
    paths = {kind: importlib.import_module(f"lora_ensemble.{kind}").__path__ for kind in FOLDERS}
    before = {kind: list(path) for kind, path in paths.items()}
    plug_in()
    _forget()
    try:
        yield
    finally:
        for kind, path in paths.items():
            path[:] = before[kind]
            for file in FOLDERS[kind].glob("*.py"):
                sys.modules.pop(f"lora_ensemble.{kind}.{file.stem}", None)
        _forget()


def _forget() -> None:
    registry._files.cache_clear()
    registry._recipes.cache_clear()
    registry.config_class.cache_clear()
