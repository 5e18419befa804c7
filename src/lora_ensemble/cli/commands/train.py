"""Train a recipe into a run folder; the same command again resumes it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lora_ensemble import registry
from lora_ensemble.cli import recipe_words
from lora_ensemble.cli.arguments import PROGRAM
from lora_ensemble.cli.launching import ABOUT, launcher_of
from lora_ensemble.cli.member_range import folder_suffix
from lora_ensemble.errors import UserError
from lora_ensemble.printable import printable

if TYPE_CHECKING:
    from lora_ensemble.contracts import Launcher


@dataclass(frozen=True)
class Options(recipe_words.Options):
    anew: bool = False
    """Train from the start, and remove the run that the folder holds first, whichever it is."""
    members_per_task: int = 1
    """With --on and --members FIRST:END: members that are trained together, each such part in a run of its own."""


def main(args: Sequence[str]) -> None:
    if not args or args[0] in ("-h", "--help"):
        print(_usage())
        return
    launcher, (recipe, *words) = launcher_of(args, "train RECIPE")
    found = recipe_words.asked(recipe, words, Options, "train")
    experiment = found.experiment
    experiment.check()
    folder = found.options.output or Path("runs") / f"{recipe}-seed{experiment.seed}{folder_suffix(found.members)}"

    if launcher.kind != "local":
        _there(launcher, found, folder)
        return

    from lora_ensemble.runs.run import train

    print(f"run folder: {printable(str(folder))}", file=sys.stderr)
    run = train(experiment, folder, anew=found.options.anew)
    next_command = f"{PROGRAM} evaluate {shlex.quote(str(folder))}"
    print(f"trained in {run.cost['seconds']:.0f} s; next: {printable(next_command)}", file=sys.stderr)
    print(printable(str(folder)))


def _there(launcher: Launcher, found: recipe_words.Asked[Options], folder: Path) -> None:
    """The run, or those of the members of a range, on other machines."""
    from lora_ensemble.cli.apart import by_ranges, train_there

    each = found.options.members_per_task
    if found.options.anew:
        raise UserError(f"--anew is for a run on this machine: remove {folder} instead")
    if each < 1:
        raise UserError(f"--members-per-task {each}: must be at least 1")
    ranged = folder_suffix(found.members)
    train_there(by_ranges(found.experiment, folder, each) if ranged else {folder: found.experiment}, launcher)
    print(printable(str(folder)))


def _usage() -> str:
    lines = [
        f"usage: {PROGRAM} train RECIPE [--output FOLDER] [--members N|FIRST:END] [--seed N] [--epochs N]",
        f"       {' ' * len(PROGRAM)} [--data HUB_ID_OR_FOLDER] [--device auto|cpu|cuda|mps] [--backbone KIND]",
        f"       {' ' * len(PROGRAM)} [--dataset KIND] [--plugin FILE.py ...] [--on local|ray|slurm]",
        f"       {' ' * len(PROGRAM)} [--FIELD.FIELD VALUE ...]",
        "",
        __doc__ or "",
        "",
        ABOUT,
        "",
        "recipes:",
    ]
    names = registry.names("recipes")
    width = max(map(len, names), default=0)
    lines += [f"  {name:<{width}}  {registry.description('recipes', name)}" for name in names]
    return "\n".join([*lines, "", f"{PROGRAM} train RECIPE --help lists every field, with its value in that recipe."])
