"""`predict --input`: answers to new rows in a file, with a display, resumable after a kill."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.answers.asked import Asked
from lora_ensemble.errors import UserError
from lora_ensemble.printable import printable

if TYPE_CHECKING:
    from lora_ensemble.answers.stream import Answerer, Told
    from lora_ensemble.runs.run import Run
    from lora_ensemble.sources.incoming import Options

STANDARD = "-"
"""Stands for the standard input, or the standard output."""


def answer_input(run: Run, source: str, output: str | None, asked: Asked, rows: Options) -> None:
    """Answer everything in `source` into `output`. Raises UserError for an output that is something else already."""
    if output is None:
        raise UserError("--input needs --output: a file that ends in .parquet, .csv or .jsonl, or - for lines of JSON")
    if output == STANDARD:
        _to_stdout(run, source, asked, rows)
        return

    from lora_ensemble.answers import files
    from lora_ensemble.answers.parts import Parts
    from lora_ensemble.runs.answering import answerer

    path = Path(output)
    files.check_ending(path)
    about = _about(run, source, asked, rows)
    if _is_answered(path, about):
        print(f"{printable(str(path))} holds these answers already", file=sys.stderr)
        return
    parts = Parts(path, about)
    done = len(parts.files)
    if done:
        print(f"going on after {done} finished part{'s' if done > 1 else ''}", file=sys.stderr)
    with _display(source) as told:
        ready = answerer(run, asked)
        _say_rule(ready)
        for table in ready.stream(source, rows, done, told):
            parts.add(table)
    if not parts.files:
        raise UserError(f"{source}: there is nothing to answer in it")
    written = files.write(parts, path, about)
    parts.remove()
    print(f"{printable(str(path))}: {written} answers{_how(run, asked)}")


def _to_stdout(run: Run, source: str, asked: Asked, rows: Options) -> None:
    import pyarrow as pa

    from lora_ensemble.answers.files import write_lines
    from lora_ensemble.runs.answering import answerer

    ready = answerer(run, asked)
    _say_rule(ready)
    for table in ready.stream(source, rows):
        write_lines(pa.Table.from_pandas(table, preserve_index=False), sys.stdout)
        sys.stdout.flush()
    print(f"answered{_how(run, asked)}", file=sys.stderr)


def _say_rule(ready: Answerer) -> None:
    """What asking fewer members costs and loses, where they are."""
    if ready.decide.adaptive is not None:
        print(ready.decide.adaptive.words, file=sys.stderr)


def _how(run: Run, asked: Asked) -> str:
    if asked.raw or run.calibrated is None:
        return ", not calibrated" + ("" if asked.raw else ": the run has no calibration")
    return f", calibrated ({run.calibrated.name}); --raw leaves that out"


_LATER = ("budget", "max_loss")
"""What could not be asked when the first answers were written: these are recognised without it."""


def _about(run: Run, source: str, asked: Asked, rows: Options) -> dict[str, Any]:
    """All that the answers depend on."""
    import dataclasses

    from lora_ensemble.disk.fingerprints import fingerprint

    data: Any = {"standard input": time.time_ns()} if source == STANDARD else fingerprint(source)
    options = dataclasses.asdict(rows)
    return {
        "run": run.weights_digest(),
        "calibration": None if asked.raw or run.calibrated is None else run.calibrated.to_json(),
        "input": data,
        "asked": {n: v for n, v in dataclasses.asdict(asked).items() if n not in _LATER or v is not None},
        "options": {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()},
    }


def _is_answered(path: Path, about: dict[str, Any]) -> bool:
    """Whether these answers are there. Raises UserError for a file that is anything else."""
    from lora_ensemble.answers.files import about_file
    from lora_ensemble.disk.digests import digest_of_file
    from lora_ensemble.disk.records import read_record

    if not path.exists():
        return False
    try:
        there = read_record(about_file(path))
    except UserError:
        there = {}
    if path.is_file() and about.items() <= there.items() and there.get("contents") == digest_of_file(path):
        return True
    raise UserError(f"{path} exists and holds something else; give another --output, or remove it")


@contextmanager
def _display(source: str) -> Iterator[Told]:
    """A line on stderr that moves in a terminal, and comes every ten seconds elsewhere."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()]
    began, said, rows = time.monotonic(), time.monotonic(), 0
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(f"reading {printable(source)}", total=None)

        def told(more: int) -> None:
            nonlocal said, rows
            rows += more
            now = time.monotonic()
            text = f"{rows} rows answered, {rows / max(now - began, 1e-9):.0f} a second"
            progress.update(task, description=text)
            if not console.is_terminal and now - said >= 10:
                print(text, file=sys.stderr)
                said = now

        yield told
