"""Train a recipe into a run folder; the same command again resumes it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lora_ensemble import registry
from lora_ensemble.cli import recipe_words
from lora_ensemble.cli.arguments import PROGRAM
from lora_ensemble.cli.member_range import folder_suffix


@dataclass(frozen=True)
class Options(recipe_words.Options):
    anew: bool = False
    """Train from the start, and remove the run that the folder holds first, whichever it is."""


def main(args: Sequence[str]) -> None:
    if not args or args[0] in ("-h", "--help"):
        print(_usage())
        return
    recipe = args[0]
    found = recipe_words.asked(recipe, args[1:], Options, "train")
    experiment = found.experiment
    experiment.check()
    folder = found.options.output or Path("runs") / f"{recipe}-seed{experiment.seed}{folder_suffix(found.members)}"

    from lora_ensemble.runs.run import train

    print(f"run folder: {folder}", file=sys.stderr)
    run = train(experiment, folder, anew=found.options.anew)
    next_command = f"{PROGRAM} evaluate {shlex.quote(str(folder))}"
    print(f"trained in {run.cost['seconds']:.0f} s; next: {next_command}", file=sys.stderr)
    print(folder)


def _usage() -> str:
    lines = [
        f"usage: {PROGRAM} train RECIPE [--output FOLDER] [--members N|FIRST:END] [--seed N] [--epochs N]",
        f"       {' ' * len(PROGRAM)} [--data HUB_ID_OR_FOLDER] [--device auto|cpu|cuda|mps] [--backbone KIND]",
        f"       {' ' * len(PROGRAM)} [--dataset KIND] [--plugin FILE.py ...]",
        f"       {' ' * len(PROGRAM)} [--FIELD.FIELD VALUE ...]",
        "",
        __doc__ or "",
        "",
        "recipes:",
    ]
    names = registry.names("recipes")
    width = max(map(len, names), default=0)
    lines += [f"  {name:<{width}}  {registry.description('recipes', name)}" for name in names]
    return "\n".join([*lines, "", f"{PROGRAM} train RECIPE --help lists every field, with its value in that recipe."])
