"""Train recipes over seeds, and over the values of a field, and print one table, mean ± deviation over seeds."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lora_ensemble import registry
from lora_ensemble.cli import recipe_words
from lora_ensemble.cli.arguments import PROGRAM, parse, parse_some
from lora_ensemble.cli.data_names import datasets_named
from lora_ensemble.cli.display import Display
from lora_ensemble.cli.launching import ABOUT, launcher_of
from lora_ensemble.cli.lists import Words, items, whole_numbers
from lora_ensemble.errors import ConfigurationError, UserError
from lora_ensemble.printable import printable
from lora_ensemble.studies.comparing import REPORT, RESULTS, RUNS, Task, compare

if TYPE_CHECKING:
    from lora_ensemble.report import Results, RunResult


@dataclass(frozen=True)
class Options:
    output: Path = Path("compare")
    """Folder for the runs, results.json and report.html. Started again, it keeps what is finished."""
    seeds: Words = ()
    """Seeds of each row, with commas or spaces. Default: 0,1,2."""
    vary: Words = ()
    """A field and its values, one row each: `method.r=1,2,4`. Several with spaces between: all combinations."""
    ood: str | None = None
    """Out-of-distribution data sets: NAME or NAME=FOLDER, several with commas."""
    jobs: int | None = None
    """Runs at a time: in processes that share the cores, 1 by default; elsewhere as many as there is room for."""
    format: Literal["markdown", "json", "latex"] = "markdown"
    """How to print the table."""
    members: int | None = None
    """Members of each ensemble. Default: those of the recipes. Single networks keep their one."""


def main(args: Sequence[str]) -> None:
    recipes = list(itertools.takewhile(lambda word: not word.startswith("-"), args))
    words = list(args[len(recipes) :])
    if not args or {"-h", "--help"} & set(words):
        launcher_of(words, "compare")
        about = f"{__doc__}\n\n{ABOUT}\n\nAny flag of `{PROGRAM} train RECIPE` is for every recipe."
        parse(Options, ["--help"], "compare RECIPE...", about)
    launcher, words = launcher_of(words, "compare")
    options, rest = parse_some(Options, words, "compare")
    if not recipes:
        raise UserError(f"give at least one recipe first ({PROGRAM} list recipes names all)")
    planned = list(_tasks(recipes, rest, options))
    labels = list(dict.fromkeys(task.label for task in planned))
    stream = compare(options.output, planned, partial(_results, planned=planned), options.jobs, launcher=launcher)
    with Display(len(planned), ", ".join(labels) if len(labels) < 7 else f"{len(labels)} rows") as display:
        for news in stream:
            display.show(news)
    print(_table(options.output, options.format).rstrip())
    print(printable(f"look at {options.output / REPORT}"), file=sys.stderr)
    if len(labels) > 1:
        first = [str(task.folder) for task in planned if task.experiment.seed == planned[0].experiment.seed]
        command = f"{PROGRAM} evaluate {shlex.join(first)} --paired"
        print(f"which differences are more than chance: {printable(command)}", file=sys.stderr)


def _tasks(recipes: Sequence[str], words: Sequence[str], options: Options) -> Iterator[Task]:
    ood = datasets_named(options.ood)
    seeds = whole_numbers("--seeds", options.seeds or (("0", "1", "2"),))
    if twice := [recipe for recipe in recipes if recipes.count(recipe) > 1]:
        raise ConfigurationError([f"recipe {twice[0]!r} is given twice"])
    for seed, recipe, varied in itertools.product(seeds, recipes, _varied(options.vary)):
        flags = [word for field, value in varied for word in (f"--{field.replace('_', '-')}", value)]
        experiment = recipe_words.asked(recipe, [*words, *flags], recipe_words.Options, "train").experiment
        if options.members is not None and experiment.method.members > 1:
            experiment = replace(experiment, method=replace(experiment.method, members=options.members))
        label = " ".join([recipe, *(f"{field}={value}" for field, value in varied)])
        folder = options.output / RUNS / f"{label.replace(' ', '-').replace('/', '_')}-seed{seed}"
        yield Task(label, replace(experiment, seed=seed, name=label), folder, ood)


def _varied(given: tuple[tuple[str, ...], ...]) -> list[tuple[tuple[str, str], ...]]:
    """Every combination of the values of `field=value,value field=value,...`, as pairs of field and value."""
    choices: dict[str, list[str]] = {}
    field = ""
    for item in items(given):
        name, named, value = item.removeprefix("--").rpartition("=")
        field = name.replace("-", "_") if named else field
        if not field or not value:
            raise UserError(f"--vary {item!r}: expected FIELD=VALUE,VALUE, for instance method.r=1,2,4")
        choices.setdefault(field, []).append(value)
    return list(itertools.product(*([(field, value) for value in values] for field, values in choices.items())))


def _results(runs: Sequence[RunResult], planned: Sequence[Task]) -> Results:
    from lora_ensemble.report import Results
    from lora_ensemble.studies.study import study_of_experiments

    first = planned[0].experiment
    labels = list(dict.fromkeys(task.label for task in planned))
    about = {
        "data": f"{registry.name_of(first.dataset)}, test split of {runs[0].scores.about['samples']} examples",
        "backbone": registry.name_of(first.backbone),
        "seeds": ", ".join(str(seed) for seed in dict.fromkeys(task.experiment.seed for task in planned)),
    }
    study = study_of_experiments({task.label: task.experiment for task in planned})
    return Results(", ".join(labels), tuple(runs), about=about, study=study)


def _table(folder: Path, form: str) -> str:
    """Of results.json alone."""
    from lora_ensemble.analysis import table
    from lora_ensemble.analysis.naming import common
    from lora_ensemble.report import Results

    rows: dict[str, list[dict[str, float]]] = {}
    for run in Results.load(folder / RESULTS).runs:
        rows.setdefault(run.method, []).append({**run.values, "train_seconds": run.cost["train_seconds"]})
    present = common(name for runs in rows.values() for scores in runs for name in scores)
    shown = table(rows, [*present, "train_seconds"], {"train_seconds": "lower"})
    return {"markdown": shown.to_markdown, "latex": shown.to_latex, "json": shown.to_json}[form]()
