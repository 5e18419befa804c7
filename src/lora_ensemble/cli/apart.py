"""`train` and `settings` where a launcher computes: one run, or the members of a range as runs of their own."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Any

from lora_ensemble.cli.arguments import PROGRAM
from lora_ensemble.contracts import Launcher
from lora_ensemble.experiment import Experiment
from lora_ensemble.printable import printable
from lora_ensemble.training.progress import TerminalProgress


def by_ranges(experiment: Experiment, folder: Path, each: int) -> dict[Path, Experiment]:
    """The experiment as runs of at most `each` of its members, by their folders."""
    method: Any = experiment.method
    planned = {}
    for first in range(method.first_member, method.first_member + method.members, each):
        members = min(each, method.first_member + method.members - first)
        part = dataclasses.replace(method, members=members, first_member=first)
        planned[folder / f"members-{first}to{first + members - 1}"] = dataclasses.replace(experiment, method=part)
    return planned


def train_there(planned: dict[Path, Experiment], launcher: Launcher) -> None:
    """Train the runs, and say on stderr how far each is."""
    from lora_ensemble.studies.apart import train_apart

    displays = {place.name: TerminalProgress(place.name, bar=False) for place in planned}
    folder = next(iter(planned)).absolute().parent
    train_apart(planned, folder, launcher, None, lambda name, progress: displays[name](progress))
    places = " ".join(shlex.quote(str(place)) for place in planned)
    print(printable(f"trained; next: {PROGRAM} evaluate {'--concat ' * (len(planned) > 1)}{places}"), file=sys.stderr)
