"""Make a table from nothing: tune each method with the same budget, train it over seeds, score it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lora_ensemble import registry
from lora_ensemble.cli import recipe_words
from lora_ensemble.cli.arguments import PROGRAM, parse, parse_some
from lora_ensemble.cli.data_names import datasets_named
from lora_ensemble.cli.lists import Words, items, whole_numbers
from lora_ensemble.errors import UnknownNameError, UserError

if TYPE_CHECKING:
    from lora_ensemble.experiment import Experiment
    from lora_ensemble.studies.reproducing import Done

METHODS = ("single", "single-lora", "mc-dropout", "snapshot", "deep", "lora")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NEEDED = {"swag": ("--training.schedule", "constant")}


@dataclass(frozen=True)
class Options:
    methods: Words = ()
    """Methods, with commas or spaces. Default: single,single-lora,mc-dropout,snapshot,deep,lora."""
    seeds: Words = ()
    """Seeds of each method, with commas or spaces. Default: 0,1,2."""
    budget: str | None = None
    """Time after which no further run is begun: 90s, 30m, 2h, 1d. Started again, it goes on. Default: none."""
    output: Path | None = None
    """Folder for the runs and <task>.json. Default: reproduce/<task>."""
    ood: str | None = None
    """Out-of-distribution data sets: NAME or NAME=FOLDER, several with commas."""


def main(args: Sequence[str]) -> None:
    tasks = _tasks()
    if not args or {"-h", "--help"} & set(args):
        about = f"{__doc__}\n\nTASK: {', '.join(tasks)}. Any flag of `{PROGRAM} train RECIPE` is for every method."
        parse(Options, ["--help"], "reproduce TASK", about)
    task = args[0]
    if task not in tasks:
        raise UnknownNameError("task", task, tasks)
    options, words = parse_some(Options, list(args[1:]), f"reproduce {task}")
    methods = items(options.methods) if options.methods else list(METHODS)
    planned = {method: _experiment(task, method, words) for method in methods}

    from lora_ensemble.studies.reproducing import Plan, reproduce

    plan = Plan(
        task=task,
        experiments={method: experiment for method, (experiment, _) in planned.items()},
        commands={method: command for method, (_, command) in planned.items()},
        seeds=whole_numbers("--seeds", options.seeds or (("0", "1", "2"),)),
        folder=options.output or Path("reproduce") / task,
        budget=None if options.budget is None else seconds(options.budget),
        ood=datasets_named(options.ood),
    )
    done = reproduce(plan, lambda name: print(name, file=sys.stderr))
    _show(done, plan.folder / f"{task}.json")


def _tasks() -> list[str]:
    """What there is a recipe of a LoRA ensemble for."""
    return [name.removesuffix("-lora") for name in registry.names("recipes") if name.endswith("-lora")]


def _experiment(task: str, method: str, words: Sequence[str]) -> tuple[Experiment, str]:
    """By the recipe of this method, else by that of the LoRA ensemble; and the command that trains it."""
    recipe, given = f"{task}-{method}", [*words, *_NEEDED.get(method, ())]
    if recipe not in registry.names("recipes"):
        recipe, given = f"{task}-lora", ["--method", method, *given]
    experiment = recipe_words.asked(recipe, given, recipe_words.Options, "train").experiment
    experiment.check()
    return experiment, shlex.join([PROGRAM, "train", recipe, *given])


def seconds(text: str) -> float:
    """Of a budget as a user types it. Raises UserError for another form."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if found is None:
        raise UserError(f"--budget {text!r}: expected a number and s, m, h or d, for instance 2h")
    return float(found[1]) * _SECONDS[found[2]]


def _show(done: Done, path: Path) -> None:
    from lora_ensemble.analysis import table
    from lora_ensemble.studies.reproducing import cells

    if done.rows:
        print(table(dict(cells(done.rows))).to_markdown().rstrip())
        print(f"every run: {path}", file=sys.stderr)
    for reason in done.missing:
        print(f"left out: {reason}", file=sys.stderr)
    if not done.rows:
        raise UserError("nothing was finished, so that there is no table; give more --budget, or fewer --methods")
