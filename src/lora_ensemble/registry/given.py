"""Plug-in files that the user gives by their path: modules of their own, inside this one.

A file is compiled from its text, never from a cache beside it, so that the digest is that of what was executed. Their
modules are found by their name in every process with the same LORA_ENSEMBLE_PLUGINS, which is how a configuration of
theirs reaches a worker.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from lora_ensemble.errors import UserError, first_line
from lora_ensemble.registry.kinds import OPEN, kinds_of

VARIABLE = "LORA_ENSEMBLE_PLUGINS"

RECORDS = ("run.json", "cross-validation.json")
"""A folder with one of them is a run's, from which no code is taken."""

__path__: list[str] = []  # a package to Python: its modules are found by `_Finder`


def files() -> tuple[Path, ...]:
    """The given files, each once. Raises UserError for one that cannot be taken."""
    return _files(os.environ.get(VARIABLE, ""))


@cache
def _files(words: str) -> tuple[Path, ...]:
    paths = tuple(dict.fromkeys(_checked(word) for word in words.split(os.pathsep) if word))
    for path in paths:
        if twice := [other for other in paths if other.stem == path.stem and other != path]:
            raise UserError(f"plug-in {path} has the name of {twice[0]}: one of them needs another name")
    return paths


def _checked(word: str) -> Path:
    path = Path(word).expanduser().resolve()
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"plug-in {word}: expected a file of Python code, FILE.py; there is {_instead(path)}")
    if not path.stem.isidentifier():
        raise UserError(f"plug-in {word}: its name must be one that Python can import, of letters, digits and _")
    if inside := [folder for folder in path.parents if any((folder / name).is_file() for name in RECORDS)]:
        raise UserError(f"plug-in {word} is inside the run folder {inside[0]}, from which no code is loaded")
    return path


def _instead(path: Path) -> str:
    return "a folder" if path.is_dir() else "another file" if path.exists() else "none"


def loaded(path: Path) -> tuple[str, tuple[str, ...]]:
    """The module of a given file, by name, and the kinds of which it holds a plug-in.

    Raises UserError for a file that cannot be imported, and for one that holds none."""
    name = f"{__name__}.{path.stem}"
    if getattr(sys.modules.get(name), "__file__", None) not in (None, str(path)):
        del sys.modules[name]  # of a file with the same name, given before
    try:
        module = importlib.import_module(name)
    except UserError:
        raise
    except Exception as error:  # somebody else's code can raise anything
        raise UserError(f"plug-in {path} cannot be imported: {type(error).__name__}: {first_line(error)}") from error
    kinds = kinds_of(vars(module), name)
    if not kinds:
        raise UserError(f"plug-in {path} holds none: expected something for {', '.join(OPEN)}")
    return name, tuple(kinds)


class _Loader(SourceLoader):
    """Compiles a given file."""

    def __init__(self, path: Path):
        self.path = path
        self.digest = ""

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_data(self, path: bytes | str) -> bytes:
        text = Path(os.fsdecode(path)).read_bytes()
        self.digest = hashlib.sha256(text).hexdigest()
        return text

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        vars(module)["__source_sha256__"] = self.digest


class _Finder(MetaPathFinder):
    """Finds the modules of given files."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, stem = fullname.rpartition(".")
        if package != __name__:
            return None
        file = next((file for file in files() if file.stem == stem), None)
        return None if file is None else spec_from_file_location(fullname, file, loader=_Loader(file))


sys.meta_path.append(_Finder())
