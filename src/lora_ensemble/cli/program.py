"""The command line: `lora-ensemble COMMAND ...`. Results go to stdout, progress and errors to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import UseAppendAction

from lora_ensemble import registry
from lora_ensemble.cli.arguments import PROGRAM, parse_some
from lora_ensemble.cli.warned import warnings_in_a_line
from lora_ensemble.errors import StoppedError, UserError, first_line
from lora_ensemble.printable import never_fail_to_print, printable

ROAD = (
    "quickstart",
    "list",
    "train",
    "cross-validate",
    "compare",
    "reproduce",
    "predict",
    "demo",
    "calibrate",
    "evaluate",
    "report",
    "export",
)
"""Commands in the order in which they are used; others that are found in `commands/` follow."""


def main(args: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code: 0 done, 2 the user's mistake (one line on stderr), 130 interrupted,
    143 ended by SIGTERM, with what was trained saved.

    Anything unexpected is raised, so that Python prints its traceback and exits with 1.
    """
    never_fail_to_print()
    try:
        with warnings_in_a_line():
            _run(list(sys.argv[1:] if args is None else args))
    except StoppedError as error:
        print(f"{PROGRAM}: {printable(str(error))}; the same command again goes on", file=sys.stderr)
        return 143
    except UserError as error:
        print(f"{PROGRAM}: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted; the same command again continues where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # a file or folder that may not be read or written, a disk that is full
        where = f"{error.filename}: " if error.filename else ""
        about = where + (error.strerror or first_line(error))
        print(f"{PROGRAM}: {printable(about)}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@dataclass(frozen=True)
class Everywhere:
    """The options of every command, which may also stand before it."""

    plugin: UseAppendAction[tuple[Path, ...]] = ()
    """A file with plug-ins of one's own; may be given several times."""


def _run(args: list[str]) -> None:
    if args and args[0] in ("--tyro-print-completion", "--tyro-write-completion"):
        from lora_ensemble.cli.completion import complete

        complete(args)
    everywhere, words = parse_some(Everywhere, args)
    for file in everywhere.plugin:
        registry.give(file)
    if not words or words[0] in ("-h", "--help"):
        print(overview())
    elif words[0] == "--version":
        from lora_ensemble import __version__

        print(f"{PROGRAM} {__version__}")
    else:
        registry.module("commands", words[0]).main(words[1:])


def overview() -> str:
    """What `lora-ensemble --help` prints."""
    found = registry.names("commands")
    ordered = [name for name in ROAD if name in found] + [name for name in found if name not in ROAD]
    lines = [f"  {name:<16}{registry.description('commands', name)}" for name in ordered]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND ...",
            "",
            "Calibrated uncertainty for any pretrained transformer, at the price of one backbone.",
            "",
            "commands:",
            *lines,
            "",
            f"{PROGRAM} COMMAND --help says more about one; --version prints the version.",
            "--tyro-print-completion bash|zsh prints a script for your shell.",
            "--plugin FILE.py, with any command, adds plug-ins of your own, as LORA_ENSEMBLE_PLUGINS does.",
        ]
    )
