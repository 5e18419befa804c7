"""Train a recipe into a run folder; the same command again resumes it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

from lora_ensemble import registry
from lora_ensemble.cli.arguments import PROGRAM, parse
from lora_ensemble.cli.member_range import folder_suffix, spelled_out
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
    anew: bool = False
    """Train from the start, and remove the run that the folder holds first, whichever it is."""


Form = TypeVar("Form", bound=Options)


def main(args: Sequence[str]) -> None:
    if not args or args[0] in ("-h", "--help"):
        print(_usage())
        return
    recipe, words = args[0], args[1:]
    options = parsed(recipe, words, Options, "train")
    experiment, output = experiment_of(options), options.output
    experiment.check()
    folder = output or Path("runs") / f"{recipe}-seed{experiment.seed}{folder_suffix(words)}"

    from lora_ensemble.runs.run import train

    print(f"run folder: {folder}", file=sys.stderr)
    run = train(experiment, folder, anew=options.anew)
    print(f"trained in {run.cost['seconds']:.0f} s; next: {PROGRAM} evaluate {folder}", file=sys.stderr)
    print(folder)


def configured(recipe: str, words: Sequence[str]) -> tuple[Experiment, Path | None]:
    """A recipe's experiment with the changes that a command line asks for, and --output."""
    options = parsed(recipe, words, Options, "train")
    if options.anew:
        raise UserError("--anew is of `train`, which removes one run; give another folder with --output")
    return experiment_of(options), options.output


def parsed(recipe: str, words: Sequence[str], form: type[Form], command: str) -> Form:
    """The options of a command that takes a recipe and what `train` takes, and has more fields of its own."""
    default = registry.recipe(recipe)
    kind, words = taken(words, "--backbone")
    if kind is not None:
        default = replace(default, backbone=registry.config_class("backbones", kind)())
    words = spelled_out(words, default.method)
    if not hasattr(default.dataset, "data") and any(w.split("=")[0] == "--data" for w in words):
        raise UserError(f"data set {registry.name_of(default.dataset)!r} comes with the package and takes no --data")
    shorts = "\n".join(f"  {short:<10} is {long}" for short, long in SHORT.items())
    shorts += "\n  --backbone is another kind of backbone\n  --members 3:6 are members 3, 4 and 5 of a larger ensemble"
    about = f"{registry.description('recipes', recipe)}\n\nShort flags:\n{shorts}"
    values = form(**_values(default))
    return parse(form, [_long(w) for w in words], f"{command} {recipe}", about, values, also=SHORT)


def experiment_of(options: Options) -> Experiment:
    """Without what is the command's own."""
    return Experiment(**_values(options))


def taken(words: Sequence[str], flag: str) -> tuple[str | None, list[str]]:
    """The value of a flag, the last one where it is given twice, and the words without it.

    Raises UserError for a flag without a value."""
    value, rest, left = None, [], list(words)
    while left:
        word = left.pop(0)
        name, equals, text = word.partition("=")
        if name != flag:
            rest.append(word)
            continue
        if not equals and (not left or left[0].startswith("--")):
            raise UserError(f"{flag} needs a value")
        value = text if equals else left.pop(0)
    return value, rest


def _values(experiment: Experiment) -> dict:
    return {f.name: getattr(experiment, f.name) for f in fields(Experiment)}


def _long(word: str) -> str:
    flag, equals, value = word.partition("=")
    return SHORT.get(flag, flag) + equals + value


def _usage() -> str:
    lines = [
        f"usage: {PROGRAM} train RECIPE [--output FOLDER] [--members N|FIRST:END] [--seed N] [--epochs N]",
        f"       {' ' * len(PROGRAM)} [--data HUB_ID_OR_FOLDER] [--device auto|cpu|cuda|mps] [--backbone KIND]",
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
