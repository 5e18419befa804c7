"""Check that every file of a run is as it was written; exit code 2 where one is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lora_ensemble.cli.arguments import RunOptions, parse
from lora_ensemble.errors import RunFolderError, UserError
from lora_ensemble.printable import printable

if TYPE_CHECKING:
    from lora_ensemble.runs.wholeness import Part


@dataclass(frozen=True)
class Options(RunOptions):
    pass


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "verify", f"{__doc__}\n\nRUN may hold many runs, as `compare` leaves them.")

    from lora_ensemble.runs.documents import documents_in
    from lora_ensemble.runs.wholeness import parts_of

    found = {run: [*parts_of(run), *documents_in(run)] for folder in options.runs for run in _runs(folder)}
    found |= {folder: about for folder in options.runs if folder not in found and (about := [*documents_in(folder)])}
    print("\n".join(_table(found)))
    damaged = [f"{run}, {part.name}" for run, parts in found.items() for part in parts if not part.good]
    if damaged:
        raise UserError(f"{len(damaged)} of {sum(map(len, found.values()))} parts are damaged: {'; '.join(damaged)}")


def _runs(folder: Path) -> Iterator[Path]:
    """The run in a folder, or all of those below it."""
    from lora_ensemble.runs.records import RUN

    inside = [folder] if (folder / RUN).is_file() else sorted(path.parent for path in folder.rglob(RUN))
    if not inside:
        raise RunFolderError(f"{folder} holds no run: there is no {RUN} in it or below it")
    yield from inside


def _table(found: dict[Path, list[Part]]) -> Iterator[str]:
    cells = [(str(run), part.name, part.state, part.about) for run, parts in found.items() for part in parts]
    rows = [tuple(map(printable, row)) for row in cells]
    if len(found) == 1:
        rows = [("", *row[1:]) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for run, name, state, about in rows:
        first = f"{run:<{widths[0]}}  " if widths[0] else ""
        yield f"{first}{name:<{widths[1]}}  {state:<{widths[2]}}  {about}".rstrip()
