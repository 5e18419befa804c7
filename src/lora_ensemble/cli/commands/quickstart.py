"""Every method on a real data set that comes along: a table, and a report to look at."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lora_ensemble.cli.arguments import parse
from lora_ensemble.cli.display import Display
from lora_ensemble.printable import printable
from lora_ensemble.studies.comparing import REPORT, RESULTS
from lora_ensemble.studies.quickstart import run, tasks


@dataclass(frozen=True)
class Options:
    output: Path = Path("quickstart")
    """Folder for the runs, results.json and report.html. Started again, it keeps what is finished."""
    seeds: int = 3
    """How often each method is trained."""
    members: int | None = None
    """Members of each ensemble. Default: those of the recipes."""
    epochs: int | None = None
    """Passes over the training digits. Default: those of the recipes."""
    workers: int | None = None
    """Runs at a time. Default: one for each core, up to four."""


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "quickstart", __doc__)
    planned = tasks(options.output, options.seeds, options.members, options.epochs)
    began = time.monotonic()
    stream = run(options.output, planned, options.workers)
    with Display(len(planned), f"six methods, each with {options.seeds} seeds") as display:
        for news in stream:
            display.show(news)
    _finish(options.output)
    print(f"{time.monotonic() - began:.0f} s; look at {printable(str(options.output / REPORT))}", file=sys.stderr)


def _finish(folder: Path) -> None:
    from lora_ensemble.report import Results
    from lora_ensemble.studies.quickstart_summary import quickstart_table, sentences

    results = Results.load(folder / RESULTS)
    print(quickstart_table(results.runs).to_markdown())
    print("\n".join(sentences(results.runs)))
