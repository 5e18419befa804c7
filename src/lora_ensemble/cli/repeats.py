"""What the command line says of runs that are given under several names."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lora_ensemble.printable import printable

if TYPE_CHECKING:
    from lora_ensemble.runs.trained import Trained


def warn_of_repeats(groups: Mapping[str, Sequence[Trained]], concat: bool) -> None:
    """A line on stderr for each run that is counted once with another of its seed."""
    from lora_ensemble.studies.groups import counted_once

    for said in () if concat else counted_once(groups):
        print(f"warning: {printable(said)}", file=sys.stderr)
