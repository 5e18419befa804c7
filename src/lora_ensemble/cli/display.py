"""What a terminal shows of many runs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_ensemble.printable import printable
from lora_ensemble.studies.comparing import News

if TYPE_CHECKING:
    from rich.progress import TaskID

    from lora_ensemble.report import RunResult


class Display:
    """A line for each result; in a terminal also a bar for the runs in progress. Used as a context manager."""

    def __init__(self, total: int, about: str):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.total, self.done, self.about = total, 0, printable(about)
        self.console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        columns = [
            TextColumn("{task.description:<28}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[said]}", markup=False),
            TimeElapsedColumn(),
        ]
        self.progress = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.all = self.progress.add_task("all runs", total=total, said="starting")
        self.bars: dict[str, TaskID] = {}

    def __enter__(self) -> Display:
        self.console.print(f"{self.total} run{'s' if self.total > 1 else ''}: {self.about}")
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def show(self, news: News) -> None:
        """Draw what has happened."""
        name = printable(news.task.folder.name)
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
