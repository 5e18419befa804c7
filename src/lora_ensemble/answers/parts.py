"""Answers that are finished, a file for each part, so that a command that was killed goes on with the next one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.disk.digests import digest_of_file
from lora_ensemble.disk.files import atomic_write
from lora_ensemble.disk.folders import readable_errors, remove_leftovers
from lora_ensemble.disk.records import read_record, write_record
from lora_ensemble.errors import FileFormatError, UserError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ROWS = 2048
"""Rows that are read for a part; what a kill loses at most."""

_ABOUT = "about.json"
_NAME = re.compile(r"part-(\d{6})-[0-9a-f]{16}\.parquet")


class Parts:
    """The parts of the answers that go to `output`, in a folder beside it.

    about: what the answers depend on; parts that were made of anything else are made anew."""

    def __init__(self, output: Path, about: dict[str, Any]):
        self.folder = output.with_name(f"{output.name}.parts")
        with readable_errors(self.folder):
            if self._about() != about:
                shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.folder)
            write_record(self.folder / _ABOUT, {"about": about})

    def _about(self) -> object:
        try:
            return read_record(self.folder / _ABOUT).get("about")
        except UserError:  # none, or damaged
            return None

    @property
    def files(self) -> list[Path]:
        """The parts that are there, in their order, up to the first that is missing."""
        found = {int(m[1]): path for path in self.folder.iterdir() if (m := _NAME.fullmatch(path.name))}
        return [found[number] for number in takewhile(found.__contains__, count())]

    def add(self, answers: pd.DataFrame) -> None:
        """The next part; its name has its digest. Raises UserError where it cannot be written."""
        number = len(self.files)
        waiting = self.folder / f"waiting-{number:06d}.parquet"
        atomic_write(waiting, lambda temporary: answers.to_parquet(temporary, index=False))
        waiting.rename(self.folder / f"part-{number:06d}-{digest_of_file(waiting)[-16:]}.parquet")

    def schema(self) -> pa.Schema:
        """Of all parts together: a part without a single label has a column of nothing, or none. Raises FileFormatError
        for a part that is damaged."""
        import pyarrow as pa
        from pyarrow import parquet

        for path in self.files:
            if not path.stem.endswith(digest_of_file(path)[-16:]):
                raise FileFormatError(f"{path} was changed or damaged; remove it and start again")
        schemas = [parquet.read_schema(path).remove_metadata() for path in self.files]
        return pa.unify_schemas(schemas, promote_options="permissive")

    def __iter__(self) -> Iterator[pa.Table]:
        """All parts in their order, each with all columns. Raises FileFormatError for one that is damaged."""
        import pyarrow as pa
        from pyarrow import parquet

        schema = self.schema()
        for path in self.files:
            table = parquet.read_table(path)
            for field in schema:
                if field.name not in table.column_names:
                    table = table.append_column(field, pa.nulls(len(table), field.type))
            yield table.select(schema.names).cast(schema)

    def remove(self) -> None:
        """When the answers have their place."""
        shutil.rmtree(self.folder, ignore_errors=True)
