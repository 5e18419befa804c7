"""A table from nothing: each method is tuned with the same budget, trained, and scored; every run is written down."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.errors import ConfigurationError, DivergedError
from lora_ensemble.experiment import Experiment
from lora_ensemble.studies.comparing import RUNS, Task, one

if TYPE_CHECKING:
    from lora_ensemble.contracts import Dataset

FACTORS = (1 / 3, 1.0, 3.0)
"""Of the recipe's learning rate."""

KNOBS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "single": ("training.weight_decay", (0.0, 0.01, 0.1)),
    "deep": ("training.weight_decay", (0.0, 0.01, 0.1)),
    "snapshot": ("training.first_cycle", (1.0, 2.0, 4.0)),
    "mc-dropout": ("method.p", (0.05, 0.1, 0.2)),
    "single-lora": ("method.r", (4, 8, 16)),
    "lora": ("method.r", (4, 8, 16)),
    "last-layer": ("training.weight_decay", (0.0, 0.01, 0.1)),
    "batch-ensemble": ("method.init_std", (0.03, 0.1, 0.3)),
    "swag": ("method.scale", (0.5, 1.0, 2.0)),
    "tfb": ("method.tolerance", (0.003, 0.01, 0.03)),
    "blob": ("method.kl_weight", (0.1, 0.3, 1.0)),
    "laplace": ("method.r", (4, 8, 16)),
}
"""The one knob of each method that is tuned beside the learning rate, and its values."""

Setting = dict[str, float]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is to be done. experiments: one for each method, as its recipe has it."""

    task: str
    experiments: Mapping[str, Experiment]
    commands: Mapping[str, str]
    """The command of each experiment, without seed and tuned values."""
    seeds: Sequence[int]
    folder: Path
    budget: float | None
    """Seconds after which no further run is begun."""
    ood: Mapping[str, Dataset]


@dataclass(frozen=True)
class Done:
    """rows: a run each, as they are written down. missing: what is not there, and why."""

    rows: list[dict[str, Any]]
    missing: list[str]


class OutOfBudgetError(Exception):
    """No further run is begun."""


def reproduce(plan: Plan, say: Say) -> Done:
    """Do what is not done yet; started again, it goes on where it was. The rows are in <task>.json after every run."""
    ends = math.inf if plan.budget is None else time.monotonic() + plan.budget
    rows: list[dict[str, Any]] = []
    missing: list[str] = []
    settings: dict[str, Setting] = {}
    for method in plan.experiments:
        try:
            settings[method] = tuned(plan, method, ends, say)
        except OutOfBudgetError:
            missing.append(f"{method}: not tuned, the budget is spent")
        except (ConfigurationError, DivergedError) as error:
            missing.append(f"{method}: {error}")
    for seed in plan.seeds:
        for method, setting in settings.items():
            folder = plan.folder / RUNS / f"{plan.task}-{method}-seed{seed}"
            experiment = dataclasses.replace(changed(plan.experiments[method], setting), seed=seed, name=method)
            try:
                begin(folder, ends, say)
                found = one(Task(method, experiment, folder, plan.ood), lambda at: None)
            except OutOfBudgetError:
                missing.append(f"{method}, seed {seed}: not trained, the budget is spent")
                continue
            except DivergedError as error:
                missing.append(f"{method}, seed {seed}: {error}")
                continue
            rows.append(row(plan, method, experiment, setting, found))
            write(plan, rows)
    return Done(rows, missing)


def tuned(plan: Plan, method: str, ends: float, say: Say) -> Setting:
    """The learning rate with the lowest NLL of the ensemble on validation, then the value of the knob at that rate: one
    seed, a third of the training, as many runs for each method."""
    base = plan.experiments[method]
    knob, values = KNOBS.get(method, ("training.weight_decay", (0.0, 0.01, 0.1)))
    rates = [{"training.learning_rate": base.training.learning_rate * factor} for factor in FACTORS]
    best = _best(plan, method, rates, ends, say)
    return _best(plan, method, [{**best, knob: value} for value in values], ends, say)


def _best(plan: Plan, method: str, settings: Sequence[Setting], ends: float, say: Say) -> Setting:
    """Raises DivergedError where every one diverges."""
    from lora_ensemble.runs.run import train
    from lora_ensemble.training.early_stopping import mean_nll

    losses: list[tuple[float, Setting]] = []
    diverged: DivergedError | None = None
    for setting in settings:
        words = "-".join(f"{name.rpartition('.')[2]}{value:.4g}" for name, value in setting.items())
        folder = plan.folder / RUNS / f"tuning-{plan.task}-{method}-{words}"
        experiment = shortened(changed(plan.experiments[method], setting))
        begin(folder, ends, say)
        try:
            run = train(experiment, folder, on_progress=lambda progress: None)
        except DivergedError as error:
            diverged = error
            continue
        losses.append((mean_nll(run.predict("validation")), setting))
    if not losses and diverged is not None:
        raise diverged
    return min(losses, key=lambda pair: pair[0])[1]


def begin(folder: Path, ends: float, say: Say) -> None:
    """Raises OutOfBudgetError where a run that is not finished would begin after the budget's end."""
    from lora_ensemble.runs.records import FINISHED

    if not (folder / FINISHED).is_file():
        if time.monotonic() >= ends:
            raise OutOfBudgetError
        say(folder.name)


def changed(experiment: Experiment, setting: Setting) -> Experiment:
    """With values of fields, by their path."""
    for path, value in setting.items():
        part, _, name = path.partition(".")
        experiment = dataclasses.replace(
            experiment, **{part: dataclasses.replace(getattr(experiment, part), **{name: value})}
        )
    return experiment


def shortened(experiment: Experiment) -> Experiment:
    """A third of the steps, or of the epochs, at least one."""
    training = experiment.training
    if training.max_steps is not None:
        fewer = dataclasses.replace(training, max_steps=max(training.warmup_steps + 1, training.max_steps // 3))
    else:
        fewer = dataclasses.replace(training, epochs=max(1, round(training.epochs / 3)))
    return dataclasses.replace(experiment, training=fewer, name="")


def row(plan: Plan, method: str, experiment: Experiment, setting: Setting, found: Mapping[str, Any]) -> dict[str, Any]:
    """A run as it is written down."""
    from lora_ensemble.report import RunResult

    result = RunResult.from_dict(found)
    flags = [f"--{name.replace('_', '-')} {value}" for name, value in setting.items()]
    calibrated = {} if result.calibrated is None else dict(result.calibrated.scores)
    return {
        "method": method,
        "members": experiment.method.members,
        "seed": experiment.seed,
        "setting": setting,
        "raw": _plain(result.scores.items()),
        "calibrated": _plain(calibrated.items()),
        "cost": dict(result.cost),
        "command": " ".join([plan.commands[method], *flags, f"--seed {experiment.seed}"]),
    }


def _plain(scores: Any) -> dict[str, float]:
    return {name: float(value) for name, value in scores if math.isfinite(value)}


def write(plan: Plan, rows: Sequence[dict[str, Any]]) -> Path:
    """<task>.json, whole or not at all."""
    from lora_ensemble.disk.files import atomic_write

    path = plan.folder / f"{plan.task}.json"
    text = json.dumps(list(rows), indent=1) + "\n"
    atomic_write(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))
    return path


def cells(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[dict[str, float]]]]:
    """Of each method the scores of its runs, raw and, with `calibrated_` before their names, calibrated."""
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [r for r in rows if r["method"] == method]
        yield method, [{**r["raw"], **{f"calibrated_{k}": v for k, v in r["calibrated"].items()}} for r in own]
