"""Plug-ins by the names that a user types: those of this package, those of any installed package, those of given files.

Listing them imports nothing of the package nor of others; a given file is imported, since only its content says what it
holds. Nothing is ever loaded from anywhere else: see `sources`.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lora_ensemble.errors import ConfigurationError, UnknownNameError, UserError, first_line
from lora_ensemble.fields import from_plain, to_plain
from lora_ensemble.registry import given
from lora_ensemble.registry.kinds import KINDS, OPEN, classes, singular
from lora_ensemble.registry.origin import check_origin
from lora_ensemble.registry.plugin import Plugin
from lora_ensemble.registry.sources import found, give

if TYPE_CHECKING:
    from lora_ensemble.experiment import Experiment

__all__ = [
    "KINDS",
    "OPEN",
    "config_class",
    "description",
    "give",
    "known",
    "lost",
    "module",
    "name_of",
    "names",
    "origin",
    "recipe",
    "record",
    "restored",
]


def names(kind: str) -> tuple[str, ...]:
    """Names of the plug-ins of a kind, as a user types them (file `mc_dropout.py` is "mc-dropout").

    Recipes are functions, in the order of their files: `mc_dropout` in `digits.py` is "digits-mc-dropout". Raises
    UserError for two plug-ins of one name."""
    return tuple(found(kind) if kind == "recipes" else sorted(found(kind)))


def description(kind: str, name: str) -> str:
    """First line of the docstring of the plug-in's file, or of the recipe's function, read without importing it."""
    plugin = known(kind, name)
    if plugin.file is None:
        return ""
    tree: Any = ast.parse(plugin.file.read_text(encoding="utf-8"))
    if kind == "recipes":
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        tree = next(node for node in functions if node.name == plugin.attribute)
    return (ast.get_docstring(tree) or "").split("\n")[0]


def origin(kind: str, name: str) -> str:
    """Where a plug-in comes from, in words: "beans 1.2" or the path of its file; nothing for one of this package."""
    return known(kind, name).where


def module(kind: str, name: str) -> ModuleType:
    """The plug-in's module. Raises UnknownNameError with the nearest name, UserError where it cannot be imported."""
    plugin = known(kind, name)
    if plugin.ours:
        return importlib.import_module(plugin.module)
    if plugin.given and plugin.file is not None:
        return importlib.import_module(given.loaded(plugin.file)[0])
    try:
        return importlib.import_module(plugin.module)
    except UserError:
        raise
    except Exception as error:  # somebody else's code can raise anything
        raise UserError(f"{plugin} cannot be imported: {type(error).__name__}: {first_line(error)}") from error


def known(kind: str, name: str) -> Plugin:
    """The plug-in of a name. Raises UnknownNameError, with the nearest name, where there is none."""
    there = found(kind)
    if name not in there:
        raise UnknownNameError(singular(kind), name, there)
    return there[name]


def config_class(kind: str, name: str) -> type[Any]:
    """The plug-in's public dataclass: the one in its file that derives from the kind's contract."""
    return _config_class(known(kind, name))


@cache
def _config_class(plugin: Plugin) -> type[Any]:
    mod = module(plugin.kind, plugin.name)
    if plugin.attribute is not None:
        there = [value for value in [getattr(mod, plugin.attribute, None)] if value in classes(plugin.kind, [value])]
    else:
        there = [cls for cls in classes(plugin.kind, vars(mod).values()) if cls.__module__ == mod.__name__]
    if len(there) != 1:
        listed = ", ".join(cls.__name__ for cls in there) or "none"
        raise UserError(
            f"{plugin} must be exactly one public dataclass that derives from {KINDS[plugin.kind]}: {listed}"
        )
    found_class: type[Any] = there[0]
    return found_class


def name_of(config: Any) -> str:
    """The name under which a configuration's class is found; that of its file, with dashes, where it is not."""
    plugin = _plugin_of(type(config))
    return plugin.name if plugin else type(config).__module__.rsplit(".", 1)[-1].replace("_", "-")


def lost(config: Any) -> str | None:
    """Why a configuration would not be found again, and the way out; None for one that would."""
    cls = type(config)
    if _plugin_of(cls) is not None:
        return None
    kind = singular(cls.plugin_kind)
    where = "the script that runs" if cls.__module__ == "__main__" else f"module {cls.__module__}"
    return (
        f"{kind} {cls.__name__} is defined in {where}, where a run would not find it again: put it into a file of its "
        f"own and give that with --plugin FILE.py or LORA_ENSEMBLE_PLUGINS=FILE.py (its class is then "
        f'registry.config_class("{cls.plugin_kind}", "FILE")), or name it in an entry point '
        f"lora_ensemble.{cls.plugin_kind} of an installed package"
    )


def _plugin_of(cls: type[Any]) -> Plugin | None:
    kind = getattr(cls, "plugin_kind", None)
    return next((plugin for plugin in found(kind).values() if plugin.holds(cls)), None) if kind in KINDS else None


def recipe(name: str) -> Experiment:
    """The experiment that a recipe returns, under the recipe's name. Raises UnknownNameError with the nearest name."""
    plugin = known("recipes", name)
    made: Experiment = getattr(module("recipes", name), str(plugin.attribute))()
    return dataclasses.replace(made, name=name)


def record(config: Any) -> dict[str, Any]:
    """A configuration as JSON values: its name as "kind", where its code comes from as "from" unless that is this
    package, and its fields."""
    plugin = _plugin_of(type(config))
    foreign = {"from": plugin.origin()} if plugin and not plugin.ours else {}
    return {"kind": name_of(config), **foreign, **to_plain(config)}


def restored(kind: str, values: Mapping[str, Any], path: str) -> Any:
    """The inverse of `record`. path: how the user names this part.

    Raises UnknownNameError for an unknown plug-in or field, ConfigurationError for values of a wrong type, and
    UserError that says what to give where the code is not that of the record: it is never looked for where that says.
    """
    fields = dict(values)
    name, recorded = fields.pop("kind", None), fields.pop("from", None)
    if not isinstance(name, str):
        raise ConfigurationError([f'{path}: must be a mapping with a "kind"'])
    if recorded is not None or (name in found(kind) and not found(kind)[name].ours):
        check_origin(singular(kind), name, found(kind).get(name), recorded)
    return from_plain(config_class(kind, name), fields, path)
