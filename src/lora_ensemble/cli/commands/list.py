"""Print the names of recipes, methods, backbones, data sets, metrics and other plug-ins, with a line on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from lora_ensemble import registry
from lora_ensemble.cli.arguments import parse
from lora_ensemble.errors import UnknownNameError


@dataclass(frozen=True)
class Options:
    kind: Annotated[str | None, Positional, arg(metavar="[KIND]", help_behavior_hint="")] = None
    """recipes, methods, backbones, datasets, metrics ...; all of them if not given."""


def main(args: Sequence[str]) -> None:
    kind = parse(Options, args, "list", __doc__).kind
    if kind is not None and kind not in registry.OPEN:
        raise UnknownNameError("kind", kind, registry.OPEN)
    if kind is not None:
        print("\n".join(lines(kind)))
    else:
        print("\n\n".join("\n".join([f"{k}:", *("  " + line for line in lines(k))]) for k in registry.OPEN))


def lines(kind: str) -> list[str]:
    """A line for each plug-in of a kind, aligned."""
    names = registry.names(kind)
    width = max(map(len, names), default=0)
    return [f"{name:<{width}}  {registry.description(kind, name)}{_origin(kind, name)}" for name in names]


def _origin(kind: str, name: str) -> str:
    """Where a plug-in comes from, unless it comes with the package."""
    where = registry.origin(kind, name)
    return f" [{where}]" if where else ""
