"""Answers as one file: parquet, CSV or JSONL, by the ending of its name; part after part, never all in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lora_ensemble.answers.parts import Parts
from lora_ensemble.disk.digests import digest_of_file
from lora_ensemble.disk.files import atomic_write
from lora_ensemble.disk.records import write_record
from lora_ensemble.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa


def check_ending(output: Path) -> None:
    """Raises UserError for a name that does not say a format."""
    if output.suffix not in WRITERS:
        *others, last = WRITERS
        hint = did_you_mean(output.suffix, WRITERS)
        raise UserError(f"--output {str(output)!r}: must end in {', '.join(others)} or {last}.{hint}")


def write(parts: Parts, output: Path, about: dict[str, Any]) -> int:
    """All parts to one file, atomically; beside it, `<output>.about.json` says what they are, and has the file's
    digest. Returns the number of rows. Raises UserError where it cannot be written."""
    rows = 0

    def counted() -> Iterable[pa.Table]:
        nonlocal rows
        for part in parts:
            rows += len(part)
            yield part

    atomic_write(output, lambda temporary: WRITERS[output.suffix](counted(), parts.schema(), temporary))
    write_record(about_file(output), {**about, "rows": rows, "file": output.name, "contents": digest_of_file(output)})
    return rows


def about_file(output: Path) -> Path:
    """What says how the answers in a file were made."""
    return output.with_name(f"{output.name}.about.json")


def write_lines(part: pa.Table, file: IO[str]) -> None:
    """As lines of JSON; what is unknown is null."""
    for row in part.to_pylist():
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _parquet(parts: Iterable[pa.Table], schema: pa.Schema, path: Path) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(path, schema) as writer:
        for part in parts:
            writer.write_table(part)


def _csv(parts: Iterable[pa.Table], schema: pa.Schema, path: Path) -> None:
    """Lists as JSON."""
    with path.open("w", encoding="utf-8", newline="") as file:
        for number, part in enumerate(parts):
            frame = part.to_pandas()
            if "set" in frame:
                frame["set"] = frame["set"].map(lambda names: json.dumps(list(names), ensure_ascii=False))
            frame.to_csv(file, index=False, header=number == 0)


def _jsonl(parts: Iterable[pa.Table], schema: pa.Schema, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for part in parts:
            write_lines(part, file)


WRITERS: dict[str, Callable[[Iterable[pa.Table], pa.Schema, Path], None]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _jsonl,
}
"""By the ending of the file's name."""
