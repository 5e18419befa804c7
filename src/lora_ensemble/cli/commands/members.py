"""What each member brings: scores by the number of members, how members differ, which to take, what they learned."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lora_ensemble.cli.arguments import RunOptions, parse
from lora_ensemble.cli.lists import Words, items
from lora_ensemble.errors import UserError
from lora_ensemble.printable import printable


@dataclass(frozen=True)
class Options(RunOptions):
    split: str = "test"
    """The split that is scored; members are selected on validation."""
    scores: Words = ()
    """Scores by the number of members, with commas or spaces, or all. Default: the most common."""
    by: str = "nll"
    """The score by which members are selected."""
    weights: bool = False
    """Also compare what members learned: cosines of their updates of each layer, and directions that are new against
    the pretrained weights. Loads the model; takes a decomposition of every weight of every member."""
    format: Literal["markdown", "json"] = "markdown"
    """How to print; json has every pair of members and every layer."""


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "members", __doc__)

    from lora_ensemble.studies.groups import by_experiment, ensembles
    from lora_ensemble.studies.members import members_of_runs
    from lora_ensemble.studies.members_text import members_json, members_text

    found = {}
    for label, runs in ensembles(by_experiment(options.runs), True):
        print(f"looking at {printable(', '.join(str(run.folder) for run in runs))}", file=sys.stderr)
        if sum(run.experiment.method.members for run in runs) < 2:
            raise UserError(f"{runs[0].folder} has one member: there is nothing to compare")
        found[label] = members_of_runs(runs, options.split, items(options.scores), options.by, options.weights)
    shown = members_json(found) if options.format == "json" else members_text(found)
    print("\n".join(map(printable, shown.rstrip().split("\n"))))
