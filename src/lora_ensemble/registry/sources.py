"""Where plug-ins are looked for: in this package, in entry points of installed packages, in files that a user gives.

    lora_ensemble.datasets        a group of entry points, one for each kind: NAME = MODULE or MODULE:CLASS;
                                  for recipes the module of the functions, or MODULE:FUNCTION
    LORA_ENSEMBLE_PLUGINS         files, separated as in PATH; --plugin adds to it, so that processes that are started
                                  find the same ones

Nothing is loaded from anywhere else, and no file inside a run folder.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from lora_ensemble.errors import UserError
from lora_ensemble.registry import given
from lora_ensemble.registry.kinds import OPEN
from lora_ensemble.registry.plugin import Plugin


def found(kind: str) -> dict[str, Plugin]:
    """The plug-ins of a kind by name. Raises UserError for two of one name, and for a file that cannot be taken."""
    files = given.files() if kind in OPEN else ()
    return _found(kind, files, tuple(sys.path))


def give(file: str | Path) -> None:
    """A file of the user's whose plug-ins are found from now on, in processes that are started, too."""
    others = os.environ.get(given.VARIABLE)
    os.environ[given.VARIABLE] = str(file) if not others else os.pathsep.join([others, str(file)])
    given.files()


@cache
def _found(kind: str, files: tuple[Path, ...], _: tuple[str, ...]) -> dict[str, Plugin]:
    there: dict[str, Plugin] = {}
    sources = [*_ours(kind)]
    if kind in OPEN:
        sources += [*_of_packages(kind), *_of_files(kind, files)]
    for plugin in sources:
        if plugin.name in there:
            raise UserError(f"{plugin} has the name of {_known_as(there[plugin.name])}: one of them needs another name")
        there[plugin.name] = plugin
    return there


def _known_as(plugin: Plugin) -> str:
    return f"the built-in {plugin}" if plugin.ours else str(plugin)


def _ours(kind: str) -> Iterator[Plugin]:
    package = "lora_ensemble.cli.commands" if kind == "commands" else f"lora_ensemble.{kind}"
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not info.name.startswith("_"):
            spec = info.module_finder.find_spec(info.name, None)
            file = Path(spec.origin) if spec and spec.origin else None
            yield from _expanded(Plugin(kind, _name(kind, info.name), f"{package}.{info.name}", file=file))


def _of_packages(kind: str) -> Iterator[Plugin]:
    for point in importlib.metadata.entry_points(group=f"lora_ensemble.{kind}"):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "an installed package"
        yield from _expanded(
            Plugin(kind, point.name, point.module, point.attr or None, source_of(point.module), package=package)
        )


def _of_files(kind: str, files: tuple[Path, ...]) -> Iterator[Plugin]:
    for file in files:
        module, kinds = given.loaded(file)
        if kind in kinds:
            yield from _expanded(Plugin(kind, _name(kind, file.stem), module, file=file, given=True))


def _expanded(plugin: Plugin) -> Iterator[Plugin]:
    """A plug-in; of recipes, each function of its module that returns an Experiment, where it names none."""
    if plugin.kind != "recipes" or plugin.attribute is not None or plugin.file is None:
        yield plugin
        return
    for node in ast.parse(plugin.file.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_") or node.returns is None:
            continue
        if ast.unparse(node.returns).strip("'\"").endswith("Experiment"):
            name = f"{plugin.name}-{_name('recipes', node.name)}"
            yield Plugin("recipes", name, plugin.module, node.name, plugin.file, plugin.package, plugin.given)


def source_of(module: str) -> Path | None:
    """The file of a module's source, found without importing it or what it is in."""
    top, *inside = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    name = top
    for part in inside:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _name(kind: str, stem: str) -> str:
    """Uncertainties are parts of the names of scores, which have underscores."""
    return stem if kind == "uncertainties" else stem.replace("_", "-")
