"""Publish a run on the hub as user/name: its ensemble, its calibration, and a model card written from it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from lora_ensemble.cli.arguments import parse
from lora_ensemble.printable import printable


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, Positional, arg(metavar="RUN", help_behavior_hint="")]
    """A finished run."""
    repository: Annotated[str, Positional, arg(metavar="USER/NAME", help_behavior_hint="")]
    """Of the hub; made where it is missing."""
    private: bool = False
    """Seen by its owner alone, where it is made now."""
    records: bool = False
    """With run.json and finished.json, by which `pull` makes a run of it, even where they name paths of this machine;
    where they name none they go along unasked."""
    split: str = "test"
    """The split that the card's scores are of."""


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "push", __doc__)

    from lora_ensemble.disk.hub import check_name
    from lora_ensemble.runs.publishing import push
    from lora_ensemble.runs.run import Run

    check_name(options.repository)
    records = options.records or None
    pushed = push(Run(options.run), options.repository, private=options.private, records=records, split=options.split)
    for note in pushed.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    print(pushed.address)
