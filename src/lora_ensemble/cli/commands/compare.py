"""Train recipes over seeds, and over the values of a field, and print one table, mean ± deviation over seeds."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lora_ensemble import registry
from lora_ensemble.cli.arguments import PROGRAM, parse
from lora_ensemble.cli.commands.train import configured, taken
from lora_ensemble.cli.data_names import datasets_named
from lora_ensemble.cli.display import Display
from lora_ensemble.errors import ConfigurationError, UserError
from lora_ensemble.studies.comparing import REPORT, RESULTS, RUNS, Task, compare

if TYPE_CHECKING:
    from lora_ensemble.report import Results, RunResult


@dataclass(frozen=True)
class Options:
    output: Path = Path("compare")
    """Folder for the runs, results.json and report.html. Started again, it keeps what is finished."""
    seeds: str = "0,1,2"
    """Seeds of each row, with commas."""
    vary: str | None = None
    """A field and its values, one row each: `method.r=1,2,4`. Several with spaces between: all combinations."""
    ood: str | None = None
    """Out-of-distribution data sets: NAME or NAME=FOLDER, several with commas."""
    jobs: int = 1
    """Runs at a time, in processes that share the cores."""
    format: Literal["markdown", "json", "latex"] = "markdown"
    """How to print the table."""
    members: int | None = None
    """Members of each ensemble. Default: those of the recipes. Single networks keep their one."""


OWN = tuple(f"--{name}" for name in Options.__dataclass_fields__)


def main(args: Sequence[str]) -> None:
    recipes = list(itertools.takewhile(lambda word: not word.startswith("-"), args))
    words = list(args[len(recipes) :])
    if not args or {"-h", "--help"} & set(words):
        words = ["--help"]
    own, rest = _own(words)
    about = f"{__doc__}\n\nAny flag of `{PROGRAM} train RECIPE` is for every recipe."
    options = parse(Options, own, "compare RECIPE...", about)
    if not recipes:
        raise UserError(f"give at least one recipe first ({PROGRAM} list recipes names all)")
    planned = list(_tasks(recipes, rest, options))
    labels = list(dict.fromkeys(task.label for task in planned))
    stream = compare(options.output, planned, partial(_results, planned=planned), options.jobs)
    with Display(len(planned), ", ".join(labels) if len(labels) < 7 else f"{len(labels)} rows") as display:
        for news in stream:
            display.show(news)
    print(_table(options.output, options.format).rstrip())
    print(f"look at {options.output / REPORT}", file=sys.stderr)


def _own(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that are for this command, and those that are for every recipe."""
    own = [word for word in words if word == "--help"]
    rest = [word for word in words if word != "--help"]
    for flag in OWN:
        value, rest = taken(rest, flag)
        if value is not None:
            own += [flag, value]
    return own, rest


def _tasks(recipes: Sequence[str], words: Sequence[str], options: Options) -> Iterator[Task]:
    ood = datasets_named(options.ood)
    if twice := [recipe for recipe in recipes if recipes.count(recipe) > 1]:
        raise ConfigurationError([f"recipe {twice[0]!r} is given twice"])
    for seed, recipe, varied in itertools.product(_seeds(options.seeds), recipes, _varied(options.vary)):
        flags = [word for field, value in varied for word in (f"--{field.replace('_', '-')}", value)]
        experiment, _ = configured(recipe, [*words, *flags])
        if options.members is not None and experiment.method.members > 1:
            experiment = replace(experiment, method=replace(experiment.method, members=options.members))
        label = " ".join([recipe, *(f"{field}={value}" for field, value in varied)])
        folder = options.output / RUNS / f"{label.replace(' ', '-').replace('/', '_')}-seed{seed}"
        yield Task(label, replace(experiment, seed=seed, name=label), folder, ood)


def _seeds(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words) or len({int(word) for word in words}) < len(words):
        raise UserError(f"--seeds {text!r}: expected different whole numbers with commas, for instance 0,1,2")
    return [int(word) for word in words]


def _varied(text: str | None) -> list[tuple[tuple[str, str], ...]]:
    """Every combination of the values of `field=value,value field=value,...`, as pairs of field and value."""
    choices = []
    for part in (text or "").split():
        field, given, values = part.removeprefix("--").partition("=")
        if not given or not all(values.split(",")):
            raise UserError(f"--vary {part!r}: expected FIELD=VALUE,VALUE, for instance method.r=1,2,4")
        choices.append([(field.replace("-", "_"), value) for value in values.split(",")])
    return list(itertools.product(*choices))


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
        rows.setdefault(run.method, []).append(
            {**run.scores.with_calibrated(), "train_seconds": run.cost["train_seconds"]}
        )
    present = common(name for runs in rows.values() for scores in runs for name in scores)
    shown = table(rows, [*present, "train_seconds"], {"train_seconds": "lower"})
    return {"markdown": shown.to_markdown, "latex": shown.to_latex, "json": shown.to_json}[form]()
