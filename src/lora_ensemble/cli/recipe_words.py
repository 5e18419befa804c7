"""A recipe and the words after it: short flags first, which may choose other parts, then every field by its path."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from lora_ensemble import registry
from lora_ensemble.cli.arguments import parse, parse_some
from lora_ensemble.cli.member_range import spelled_out
from lora_ensemble.contracts import Method
from lora_ensemble.errors import UserError
from lora_ensemble.experiment import Experiment

LONG = {"members": "method.members", "epochs": "training.epochs", "device": "training.device", "data": "dataset.data"}
"""Short flags of fields that everybody changes."""


@dataclass(frozen=True)
class Short:
    """What is read before the fields are known. Values are checked as those of the fields that they stand for."""

    members: str | None = None
    epochs: str | None = None
    device: str | None = None
    data: str | None = None
    backbone: str | None = None
    dataset: str | None = None
    method: str | None = None


@dataclass(frozen=True)
class Options(Experiment):
    """The options of a command that takes a recipe; a command may add its own."""

    output: Path | None = None
    """Run folder. Default: runs/<recipe>-seed<seed>."""


Form = TypeVar("Form", bound=Options)


@dataclass(frozen=True)
class Asked(Generic[Form]):
    """What a command line asks for."""

    experiment: Experiment
    options: Form
    members: str | None
    """What followed --members."""


def asked(recipe: str, words: Sequence[str], form: type[Form], command: str) -> Asked[Form]:
    """The options of a command that takes a recipe and what `train` takes, and has more fields of its own.

    Raises UserError for a mistake, with the nearest flag or name."""
    default = registry.recipe(recipe)
    short, words = parse_some(Short, words, f"{command} {recipe}")
    for part, kind, name in (("backbone", "backbones", short.backbone), ("dataset", "datasets", short.dataset)):
        if name is not None:
            default = replace(default, **{part: registry.config_class(kind, name)()})
    if short.method is not None:
        default = replace(default, method=_other_method(default.method, short.method), name="")
    words = [*words, *_long(short, words, default)]
    about = f"{registry.description('recipes', recipe)}\n\nShort flags:\n{_short_flags()}"
    values = form(**_values(default))
    flags = [f"--{field.name}" for field in fields(Short)]
    options = parse(form, words, f"{command} {recipe}", about, values, also=flags)
    return Asked(Experiment(**_values(options)), options, short.members)


def _long(short: Short, words: Sequence[str], default: Experiment) -> Iterator[str]:
    """Short flags as those that they stand for."""
    for name, path in LONG.items():
        value = getattr(short, name)
        if value is None:
            continue
        if any(word.partition("=")[0] == f"--{path}" for word in words):
            raise UserError(f"--{name} and --{path} are the same: give one of them")
        if name == "data" and "data" not in {field.name for field in dataclasses.fields(default.dataset)}:
            raise UserError(f"data set {default.dataset.kind!r} comes with the package and takes no --data")
        yield from spelled_out(value, default.method) if name == "members" else [f"--{path}={value}"]


def _other_method(method: Method, name: str) -> Method:
    """A method with the recipe's values of the fields that both have, where it may have them."""
    kind = registry.config_class("methods", name)
    common = {f.name for f in fields(kind)} & {f.name for f in fields(method)}
    values = {name: getattr(method, name) for name in common}
    taken: Method = kind(**values)
    return taken if not taken.problems() else kind()


def _short_flags() -> str:
    lines = [f"  --{name:<10} is --{path}" for name, path in LONG.items()]
    lines += ["  --backbone is another kind of backbone", "  --dataset is another kind of data set"]
    lines += ["  --method is another method, with the recipe's values of the fields that both have"]
    return "\n".join([*lines, "  --members 3:6 are members 3, 4 and 5 of a larger ensemble"])


def _values(experiment: Experiment) -> dict[str, Any]:
    return {f.name: getattr(experiment, f.name) for f in fields(Experiment)}
