"""Make a run of one that `push` published on the hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from lora_ensemble.cli.arguments import PROGRAM, parse


@dataclass(frozen=True)
class Options:
    repository: Annotated[str, Positional, arg(metavar="USER/NAME", help_behavior_hint="")]
    """Of the hub, or a folder of the same form."""
    output: Path | None = None
    """Folder of the run. Default: the repository's name."""


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "pull", __doc__)
    output = options.output or Path(options.repository).name

    from lora_ensemble.runs.publishing import pull

    pull(options.repository, output)
    print(f"{output}: {PROGRAM} predict {output} --input NEW --output answers.csv")
