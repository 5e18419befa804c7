"""`--on NAME` and the flags of that launcher, among the words of any command that computes many things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble import registry
from lora_ensemble.cli.arguments import parse, parse_some
from lora_ensemble.errors import ConfigurationError

if TYPE_CHECKING:
    from lora_ensemble.contracts import Launcher

ABOUT = "--on local|ray|slurm says where the runs are computed; `--on ray --help` lists the flags of Ray."


@dataclass(frozen=True)
class On:
    """Read before the launcher's own flags are known."""

    on: str = "local"


def launcher_of(words: Sequence[str], command: str) -> tuple[Launcher, list[str]]:
    """The launcher that words ask for, and the other words. Prints its flags where they ask for help of it.

    Raises UnknownNameError for a launcher, ConfigurationError for values of its flags."""
    given, rest = parse_some(On, words, command)
    form = registry.config_class("launchers", given.on)
    if given.on != "local" and {"-h", "--help"} & set(rest):
        parse(form, ["--help"], f"{command} --on {given.on}", registry.description("launchers", given.on))
    launcher, rest = parse_some(form, rest, f"{command} --on {given.on}")
    if problems := launcher.problems():
        raise ConfigurationError([f"--{problem.replace('_', '-', 1)}" for problem in problems])
    return launcher, rest
