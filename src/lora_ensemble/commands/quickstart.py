"""Every method on a real data set that comes along: a table, and a report to look at."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lora_ensemble.arguments import parse
from lora_ensemble.quickstart import REPORT, RESULTS, News, run, tasks

if TYPE_CHECKING:
    from rich.progress import TaskID

    from lora_ensemble.report import RunResult


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
    with Display(len(planned)) as display:
        for news in stream:
            display.show(news)
    _finish(options.output)
    print(f"{time.monotonic() - began:.0f} s; look at {options.output / REPORT}", file=sys.stderr)


def _finish(folder: Path) -> None:
    from lora_ensemble.quickstart_summary import quickstart_table, sentences
    from lora_ensemble.report import Results

    results = Results.load(folder / RESULTS)
    print(quickstart_table(results.runs).to_markdown())
    print("\n".join(sentences(results.runs)))


class Display:
    """A line for each result; in a terminal also a bar for the runs in progress. Used as a context manager."""

    def __init__(self, total: int):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.total, self.done = total, 0
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = [
            TextColumn("{task.description:<28}"),
            BarColumn(),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
        ]
        self.progress = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.all = self.progress.add_task("all runs", total=total, said="starting")
        self.bars: dict[str, TaskID] = {}

    def __enter__(self) -> Display:
        self.console.print(f"{self.total} runs: six methods, each with {self.total // 6} seeds")
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def show(self, news: News) -> None:
        """Draw what has happened."""
        name = news.task.folder.name
        if news.result is None:
            if name not in self.bars:
                self.bars[name] = self.progress.add_task(name, total=news.steps, said="")
            said = f"step {news.step}/{news.steps}" if news.step < news.steps else "scoring"
            self.progress.update(self.bars[name], completed=news.step, said=said)
            return
        self.done += 1
        if name in self.bars:
            self.progress.remove_task(self.bars.pop(name))
        self.progress.update(self.all, completed=self.done, said=f"{self.done}/{self.total}")
        self.console.print(f"{self.done:>3}/{self.total}  {name:<28}{_scores(news.result)}")


def _scores(result: RunResult) -> str:
    scores, seconds = result.scores, result.cost["train_seconds"]
    return f"accuracy {scores['accuracy']:.3f}  NLL {scores['nll']:.3f}  {seconds:.1f} s"
