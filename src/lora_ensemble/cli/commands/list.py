"""Print the names of backbones, methods, data sets, metrics, calibrations and recipes, with a line on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from lora_ensemble import registry
from lora_ensemble.cli.arguments import parse
from lora_ensemble.errors import UnknownNameError

KINDS = ("recipes", "methods", "backbones", "datasets", "metrics", "calibrations")


@dataclass(frozen=True)
class Options:
    kind: Annotated[str | None, Positional, arg(metavar="[KIND]", help_behavior_hint="")] = None
    """recipes, methods, backbones, datasets, metrics or calibrations; all of them if not given."""


def main(args: Sequence[str]) -> None:
    kind = parse(Options, args, "list", __doc__).kind
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind", kind, KINDS)
    if kind is not None:
        print("\n".join(lines(kind)))
    else:
        print("\n\n".join("\n".join([f"{k}:", *("  " + line for line in lines(k))]) for k in KINDS))


def lines(kind: str) -> list[str]:
    """A line for each plug-in of a kind, aligned."""
    names = registry.names(kind)
    width = max(map(len, names), default=0)
    return [f"{name:<{width}}  {registry.description(kind, name)}" for name in names]
