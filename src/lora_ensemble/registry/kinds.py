"""What a plug-in can be, and what of a module's content is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

KINDS = {
    "backbones": "Backbone",
    "methods": "Method",
    "datasets": "Dataset",
    "calibrations": "Calibration",
    "shifts": "Shift",
    "launchers": "Launcher",
}
"""Kinds of configurable plug-ins, and the base of each in `contracts`."""

_SINGULAR = {
    "recipes": "recipe",
    "methods": "method",
    "backbones": "backbone",
    "datasets": "data set",
    "metrics": "metric",
    "uncertainties": "uncertainty",
    "calibrations": "calibration",
    "shifts": "shift",
    "launchers": "launcher",
    "commands": "command",
}

OPEN = tuple(kind for kind in _SINGULAR if kind != "commands")
"""The kinds that packages and files may add to."""


def singular(kind: str) -> str:
    """What one of a kind is called in a sentence."""
    return _SINGULAR[kind]


def classes(kind: str, values: Iterable[Any]) -> list[type[Any]]:
    """Those of some values that are public dataclasses of a configurable kind, each once, in their order."""
    return list(
        dict.fromkeys(
            value
            for value in values
            if isinstance(value, type)
            and getattr(value, "plugin_kind", None) == kind
            and dataclasses.is_dataclass(value)
            and not value.__name__.startswith("_")
            and value.__module__ != "lora_ensemble.contracts"
        )
    )


def kinds_of(content: Mapping[str, Any], module: str) -> list[str]:
    """The kinds of which a module's content has one of its own. Of recipes there may be several."""
    values = [v for name, v in content.items() if getattr(v, "__module__", None) == module and not name.startswith("_")]
    kinds = [kind for kind in KINDS if classes(kind, values)]
    functions = [v for v in values if not isinstance(v, type) and callable(v)]
    if "BETTER" in content and any(f.__name__ == "score" for f in functions):
        kinds.append("metrics")
    if any(f.__name__ == "uncertainty" for f in functions):
        kinds.append("uncertainties")
    if any(str(f.__annotations__.get("return")).endswith("Experiment") for f in functions):
        kinds.append("recipes")
    return kinds
