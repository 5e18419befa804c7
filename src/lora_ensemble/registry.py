"""Plug-ins found by their file's name: nothing is registered by hand, and listing them imports nothing heavy."""

from __future__ import annotations

import ast
import dataclasses
import importlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from lora_ensemble.errors import UnknownNameError

KINDS = {"backbones": "Backbone", "methods": "Method", "datasets": "Dataset"}
"""Kinds of configurable plug-ins, and the base of each in `contracts`."""

_SINGULAR = {
    "backbones": "backbone",
    "methods": "method",
    "datasets": "data set",
    "metrics": "metric",
    "recipes": "recipe",
}


@cache
def names(kind: str) -> tuple[str, ...]:
    """Names of the plug-ins of a kind, as a user types them (file `mc_dropout.py` is "mc-dropout")."""
    folder = Path(__file__).parent / kind
    return tuple(sorted(p.stem.replace("_", "-") for p in folder.glob("*.py") if not p.stem.startswith("_")))


def description(kind: str, name: str) -> str:
    """First line of the plug-in's docstring, read without importing it."""
    tree = ast.parse((Path(__file__).parent / kind / f"{name.replace('-', '_')}.py").read_text())
    return (ast.get_docstring(tree) or "").split("\n")[0]


def module(kind: str, name: str) -> ModuleType:
    """The plug-in's module. Raises UnknownNameError with the nearest name."""
    if name not in names(kind):
        raise UnknownNameError(_SINGULAR[kind], name, names(kind))
    return importlib.import_module(f"lora_ensemble.{kind}.{name.replace('-', '_')}")


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
