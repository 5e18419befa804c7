"""Plug-ins found by their file's name: nothing is registered by hand, and listing them imports nothing heavy."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lora_ensemble.errors import UnknownNameError

if TYPE_CHECKING:
    from lora_ensemble.experiment import Experiment

KINDS = {"backbones": "Backbone", "methods": "Method", "datasets": "Dataset", "calibrations": "Calibration"}
"""Kinds of configurable plug-ins, and the base of each in `contracts`."""

_SINGULAR = {
    "backbones": "backbone",
    "methods": "method",
    "datasets": "data set",
    "metrics": "metric",
    "calibrations": "calibration",
    "recipes": "recipe",
    "commands": "command",
}


def names(kind: str) -> tuple[str, ...]:
    """Names of the plug-ins of a kind, as a user types them (file `mc_dropout.py` is "mc-dropout").

    Recipes are the functions of the files in `recipes/`: `mc_dropout` in `digits.py` is "digits-mc-dropout".
    """
    return tuple(_recipes() if kind == "recipes" else _files(kind))


def description(kind: str, name: str) -> str:
    """First line of the docstring of the plug-in's file, or of the recipe's function, read without importing it."""
    known(kind, name)
    if kind == "recipes":
        function = _recipes()[name][1]
    tree = function if kind == "recipes" else ast.parse(_files(kind)[name].read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").split("\n")[0]


def module(kind: str, name: str) -> ModuleType:
    """The plug-in's module. Raises UnknownNameError with the nearest name."""
    known(kind, name)
    return importlib.import_module(f"{_package(kind)}.{name.replace('-', '_')}")


def known(kind: str, name: str) -> None:
    """Raises UnknownNameError, with the nearest name, for a name that is none of the kind."""
    if name not in names(kind):
        raise UnknownNameError(_SINGULAR[kind], name, names(kind))


@cache
def config_class(kind: str, name: str) -> type[Any]:
    """The plug-in's public dataclass: the one in its file that derives from the kind's contract."""
    base = getattr(importlib.import_module("lora_ensemble.contracts"), KINDS[kind])
    mod = module(kind, name)
    found = [
        value
        for value in vars(mod).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == mod.__name__
        and dataclasses.is_dataclass(value)
        and not value.__name__.startswith("_")
    ]
    assert len(found) == 1, f"{mod.__name__} must define exactly one public {base.__name__}, found {found}"
    return found[0]


def name_of(config: Any) -> str:
    """The name under which a configuration's class is found: its file's name, with dashes."""
    return type(config).__module__.rsplit(".", 1)[-1].replace("_", "-")


def recipe(name: str) -> Experiment:
    """The experiment that a recipe returns, under the recipe's name. Raises UnknownNameError with the nearest name."""
    known("recipes", name)
    file, function = _recipes()[name]
    made = getattr(importlib.import_module(f"lora_ensemble.recipes.{file}"), function.name)()
    return dataclasses.replace(made, name=name)


def _package(kind: str) -> str:
    return "lora_ensemble.cli.commands" if kind == "commands" else f"lora_ensemble.{kind}"


@cache
def _files(kind: str) -> dict[str, Path]:
    """The public files of a kind's package, by name."""
    package = importlib.import_module(_package(kind))
    stems = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))
    paths = {stem: next(p for f in package.__path__ if (p := Path(f) / f"{stem}.py").is_file()) for stem in stems}
    return {stem.replace("_", "-"): path for stem, path in paths.items()}


@cache
def _recipes() -> dict[str, tuple[str, ast.FunctionDef]]:
    """Name of each recipe: the file it is in, and its function."""
    found = {}
    for dataset, path in _files("recipes").items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                found[f"{dataset}-{node.name.replace('_', '-')}"] = (path.stem, node)
    return found
