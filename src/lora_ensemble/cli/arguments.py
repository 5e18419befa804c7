"""From the words of a command line to a dataclass; mistakes become one line with the nearest option."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from lora_ensemble.errors import UserError, nearest

T = TypeVar("T")

PROGRAM = "lora-ensemble"


@dataclass(frozen=True)
class RunOptions:
    """The options of a command that takes any number of run folders."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN...", help_behavior_hint="")]
    """Run folders."""

    def __post_init__(self) -> None:
        if not self.runs:
            raise UserError("give at least one run folder")


def parse(
    options: type[T],
    args: Sequence[str],
    command: str,
    description: str | None,
    default: T | None = None,
    also: Iterable[str] = (),
) -> T:
    """The options of a command. Prints the help and raises SystemExit(0) for --help; raises UserError for a mistake.

    default: where the values that are not given come from; nested dataclasses take their class from it, too.
    also: flags that were known before they were replaced in `args`, to suggest the nearest of.
    """
    given: dict[str, Any] = {} if default is None else {"default": default}
    with _complaints(command, also):
        found: T = tyro.cli(options, prog=f"{PROGRAM} {command}", description=description, args=args, **given)
    return found


def parse_some(options: type[T], args: Sequence[str], command: str = "") -> tuple[T, list[str]]:
    """The options of `options` among others, and the other words as they are, also --help. Raises UserError for a
    mistake in the former."""
    with _complaints(command):
        found: tuple[T, list[str]] = tyro.cli(options, args=args, return_unknown_args=True, add_help=False)
    return found


@contextlib.contextmanager
def _complaints(command: str, also: Iterable[str] = ()) -> Iterator[None]:
    """What tyro prints of a mistake inside the block is raised as a UserError."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            yield
    except SystemExit as stop:
        if not stop.code:
            raise
        asked = " ".join([PROGRAM, command, "--help"] if command else [PROGRAM, "--help"])
        raise UserError(f"{_one_line(complaint.getvalue(), also)} (see {asked})") from None


def _one_line(boxed: str, also: Iterable[str]) -> str:
    """What tyro prints in a box of Unicode or ASCII lines: the sentence under its title, and the nearest option."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", boxed)
    lines = [line.strip("│╭╮╰╯─ ") for line in plain.splitlines()]
    blocks = [list(block) for text, block in itertools.groupby(lines, key=lambda line: bool(line.strip("-"))) if text]
    first, *others = [block for block in (blocks[0][1:], *blocks[1:]) if block]
    sentence = " ".join(first).rstrip(".").removeprefix("Error parsing Options: ")
    near = re.search(r"Perhaps you meant:\s+(--[\w.-]+)", " ".join(itertools.chain(*others)))
    hints = [near[1]] if near else []
    if unknown := re.match(r"Unrecognized options: ([^\s,]+)", sentence):
        sentence = f"unknown {'option' if unknown[1].startswith('-') else 'word'} {unknown[1]!r}"
        hints = _nearest(unknown[1], hints, also)
    if missing := re.match(r"Missing value for argument '([^']+)'", sentence):
        sentence = f"{missing[1]} needs a value"
    return f"{sentence[:1].lower()}{sentence[1:]}" + (f". Did you mean {hints[0]!r}?" if hints else "")


def _nearest(word: str, hints: list[str], also: Iterable[str]) -> list[str]:
    """Of tyro's hints and the other flags; one of the same depth first: --method.rr is rather --method.r."""

    def of_the_same_depth(flags: Iterable[str]) -> list[str]:
        return [flag for flag in flags if flag.count(".") == word.count(".")]

    others = list(also)
    return (
        nearest(word, of_the_same_depth(others), cutoff=0.7)
        or of_the_same_depth(hints)
        or nearest(word, others, cutoff=0.7)
        or hints
    )
