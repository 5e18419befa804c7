"""Completion for shells, as tyro writes it: `lora-ensemble --tyro-print-completion bash` (or zsh)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union

import tyro

from lora_ensemble import registry
from lora_ensemble.cli.arguments import PROGRAM
from lora_ensemble.cli.recipe_words import Short
from lora_ensemble.errors import UserError
from lora_ensemble.experiment import Experiment


def complete(args: Sequence[str]) -> None:
    """Print, or write, the script for a shell: commands, recipes, flags, and choices where a flag has some. Raises
    SystemExit, as tyro does, UserError for a shell that needs another package. A plug-in's names are those of the
    moment."""
    names = registry.names("commands")
    try:
        tyro.cli(_one_of({name: _form(name) for name in names}, "commands"), prog=PROGRAM, args=args)
    except ImportError as error:  # for another shell tyro asks another package
        raise UserError("completion: expected bash or zsh; for tcsh, pip install shtab") from error


def _form(command: str) -> Any:
    """What can be typed after a command: its options; after a recipe the short flags, and the command's own."""
    options = registry.module("commands", command).Options
    if not issubclass(options, Experiment):
        return options
    own = [f.name for f in dataclasses.fields(options) if f.name not in Experiment.__dataclass_fields__]
    flags = [(name, str | None, None) for name in (*Short.__dataclass_fields__, *own, "seed")]
    after = dataclasses.make_dataclass("After", flags)
    return _one_of(dict.fromkeys(registry.names("recipes"), after), "recipes")


def _one_of(forms: Mapping[str, Any], kind: str) -> Any:
    choices = tuple(
        Annotated[form, tyro.conf.subcommand(name, description=registry.description(kind, name), prefix_name=False)]
        for name, form in forms.items()
    )
    return Union[choices]  # noqa: UP007
