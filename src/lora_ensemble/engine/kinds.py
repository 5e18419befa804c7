"""Classes found by the kind that they name: those that are imported, those in a package of ours, those of entry points.

So a new kind is one file: in the package, in a package of one's own that declares an entry point, or in a script that
defines the class before it uses it.
"""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from types import ModuleType
from typing import TypeVar, cast

from lora_ensemble.errors import UnknownNameError

Kind = TypeVar("Kind", bound=type)


def find(base: Kind, kind: str, package: ModuleType, group: str, what: str) -> Kind:
    """The subclass of `base` whose own attribute `kind` is this. package: where ours are; group: `lora_ensemble.GROUP`
    is the group of entry points, whose names are kinds. Raises UnknownNameError with the nearest one."""
    known = _defined(base)
    if kind in known:
        return known[kind]
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    declared = {entry.name: entry for entry in entry_points(group=f"lora_ensemble.{group}")}
    if kind in declared and kind not in _defined(base):
        declared[kind].load()
    known = _defined(base)
    if kind not in known:
        raise UnknownNameError(what, kind, known.keys() | declared.keys())
    return known[kind]


def _defined(base: Kind) -> dict[str, Kind]:
    """Every subclass that names a kind of its own."""
    found: dict[str, Kind] = {}
    for cls in cast("list[Kind]", base.__subclasses__()):
        found |= ({vars(cls)["kind"]: cls} if "kind" in vars(cls) else {}) | _defined(cls)
    return found
