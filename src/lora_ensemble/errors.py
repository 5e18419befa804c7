"""What can go wrong by the user's hand. Every message is one line: the value, what was expected, the nearest choice.

UserError (ValueError)
├── UnknownNameError        a recipe, method, backbone, data set, metric or field that does not exist
├── ConfigurationError      an experiment whose parts do not fit; lists every problem at once
├── NoMatchError            a pattern that matches no layer, a head that cannot be found
├── DataError               labels out of range, NaN in inputs, missing or unreadable files
├── FileFormatError         a truncated or foreign weights or predictions file
├── RunFolderError          a folder that holds a different run, or none
│   └── BusyError           a run folder in which another process trains
├── StoppedError            a training that was asked to stop, and saved what it had
└── DivergedError           a loss that became NaN or infinite; names step and member
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, among: Iterable[str], n: int = 1, cutoff: float = 0.6) -> list[str]:
    """The names that are most like a misspelt one, at most n, the nearest first; none that is too different.

    cutoff: 0 .. 1, how like they must be (the ratio of difflib, upper and lower case alike)."""
    by_lower = {known.lower(): known for known in among}
    return [by_lower[found] for found in difflib.get_close_matches(name.lower(), by_lower, n=n, cutoff=cutoff)]


def did_you_mean(name: str, among: Iterable[str], cutoff: float = 0.6) -> str:
    """` Did you mean 'digits'?`, to be put after a sentence; nothing where no name is near."""
    found = nearest(name, among, cutoff=cutoff)
    return f" Did you mean {found[0]!r}?" if found else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].strip()


class UserError(ValueError):
    """A mistake that the user can fix. The command line prints it as one line and exits with 2."""


class UnknownNameError(UserError):
    """A name that does not exist; the message lists the nearest and the available ones."""

    def __init__(self, kind: str, name: str, available: Iterable[str]):
        names = sorted(available)
        hint = did_you_mean(name, names, cutoff=0.5)
        super().__init__(f"unknown {kind} {name!r}.{hint} Available: {', '.join(names) or 'none'}.")


class ConfigurationError(UserError):
    """Problems of a configuration, all at once."""

    def __init__(self, problems: Iterable[str]):
        self.problems = list(problems)
        super().__init__("; ".join(self.problems))


class NoMatchError(UserError):
    """A pattern or a search in a model that found nothing."""


class DataError(UserError):
    """Data that cannot be used as it is."""


class FileFormatError(UserError):
    """A file that is not what it should be: truncated, foreign, or of another version."""


class RunFolderError(UserError):
    """A run folder that cannot be used: it belongs to a different experiment, or holds no run."""


class BusyError(RunFolderError):
    """A run folder in which another process is training."""


class StoppedError(UserError):
    """A training that was asked to stop (SIGTERM). Its last step is saved; the same call again goes on."""


class DivergedError(UserError):
    """Training produced a loss that is not finite."""
