"""Train a recipe into a run folder; the same command again resumes it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from lora_ensemble import registry
from lora_ensemble.arguments import PROGRAM, parse
from lora_ensemble.errors import UserError
from lora_ensemble.experiment import Experiment

SHORT = {
    "--members": "--method.members",
    "--epochs": "--training.epochs",
    "--device": "--training.device",
    "--data": "--dataset.data",
}
"""Short flags of fields that everybody changes."""


@dataclass(frozen=True)
class Options(Experiment):
    output: Path | None = None
    """Run folder. Default: runs/<recipe>-seed<seed>."""


def main(args: Sequence[str]) -> None:
    if not args or args[0] in ("-h", "--help"):
        print(_usage())
        return
    recipe, words = args[0], args[1:]
    experiment, output = configured(recipe, words)
    experiment.check()
    folder = output or Path("runs") / f"{recipe}-seed{experiment.seed}"

    from lora_ensemble.runs.run import train

    print(f"run folder: {folder}", file=sys.stderr)
    run = train(experiment, folder)
    print(f"trained in {run.cost['seconds']:.0f} s; next: {PROGRAM} evaluate {folder}", file=sys.stderr)
    print(folder)


def configured(recipe: str, words: Sequence[str]) -> tuple[Experiment, Path | None]:
    """A recipe's experiment with the changes that a command line asks for, and --output."""
    default = registry.recipe(recipe)
    if not hasattr(default.dataset, "data") and any(w.split("=")[0] == "--data" for w in words):
        raise UserError(f"data set {registry.name_of(default.dataset)!r} comes with the package and takes no --data")
    shorts = "\n".join(f"  {short:<10} is {long}" for short, long in SHORT.items())
    about = f"{registry.description('recipes', recipe)}\n\nShort flags:\n{shorts}"
    values = Options(**_values(default))
    options = parse(Options, [_long(w) for w in words], f"train {recipe}", about, values, also=SHORT)
    return Experiment(**_values(options)), options.output


def _values(experiment: Experiment) -> dict:
    return {f.name: getattr(experiment, f.name) for f in fields(Experiment)}


def _long(word: str) -> str:
    flag, equals, value = word.partition("=")
    return SHORT.get(flag, flag) + equals + value


def _usage() -> str:
    lines = [
        f"usage: {PROGRAM} train RECIPE [--output FOLDER] [--members N] [--seed N] [--epochs N]",
        f"       {' ' * len(PROGRAM)} [--data HUB_ID_OR_FOLDER] [--device auto|cpu|cuda|mps] [--FIELD.FIELD VALUE ...]",
        "",
        __doc__ or "",
        "",
        "recipes:",
    ]
    names = registry.names("recipes")
    width = max(map(len, names), default=0)
    lines += [f"  {name:<{width}}  {registry.description('recipes', name)}" for name in names]
    return "\n".join([*lines, "", f"{PROGRAM} train RECIPE --help lists every field, with its value in that recipe."])
