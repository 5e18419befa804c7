"""Runs that are parts of one larger ensemble, its members trained apart: `train --members 0:3`, `--members 3:6`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

from lora_ensemble.errors import ConfigurationError
from lora_ensemble.runs.trained import Trained

OneOrMany = TypeVar("OneOrMany", bound=Trained)

_RANGE = ("method.members", "method.first_member")


def members_of(run: Trained) -> range:
    """The run's members, by their number within the larger ensemble."""
    method = run.experiment.method
    first = getattr(method, "first_member", 0)
    return range(first, first + method.members)


def whole(run: Trained) -> dict[str, Any]:
    """The larger ensemble that a run is a part of: all that determines it, but for the range of its members."""
    own = _RANGE if hasattr(run.experiment.method, "first_member") else ()
    return {name: value for name, value in run.experiment.determining().items() if name not in own}


def in_order(runs: Sequence[OneOrMany]) -> list[OneOrMany]:
    """Parts of one larger ensemble by their first member, whatever the order in which they are given; runs of different
    ensembles in the order in which those come first.

    Raises ConfigurationError where two runs hold the same member."""
    wholes: list[dict[str, Any]] = []
    placed = []
    for run in runs:
        about = whole(run)
        if about not in wholes:
            wholes.append(about)
        placed.append((wholes.index(about), members_of(run).start, run))
    ordered = sorted(placed, key=lambda place: place[:2])
    for (number, _, one), (next_number, _, other) in pairwise(ordered):
        ours, theirs = members_of(one), members_of(other)
        if number == next_number and theirs.start < ours.stop:
            raise ConfigurationError([f"{one.folder} and {other.folder} both hold member {theirs.start}"])
    return [run for *_, run in ordered]


def check_same_whole(runs: Sequence[Trained]) -> None:
    """Raises ConfigurationError, naming the first field that differs, for runs of different ensembles."""
    first = whole(runs[0])
    for run in runs[1:]:
        other = whole(run)
        for name in [*first, *(name for name in other if name not in first)]:
            if first.get(name) != other.get(name):
                raise ConfigurationError(
                    [
                        f"{run.folder} is no part of the ensemble of {runs[0].folder}: {name} is {other.get(name)!r} "
                        f"there and {first.get(name)!r} here"
                    ]
                )
