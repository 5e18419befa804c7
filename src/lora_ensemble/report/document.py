"""The report as a file, which never takes the place of anything but a report."""

from __future__ import annotations

import re
from pathlib import Path

from lora_ensemble.disk.digests import digest_of_bytes
from lora_ensemble.disk.files import atomic_write_text
from lora_ensemble.errors import FileFormatError, UserError
from lora_ensemble.report.page import GENERATOR, report
from lora_ensemble.report.results import Results

_DIGEST = re.compile(rb"<!-- (sha256:[0-9a-f]{64}) -->\n$")
"""The last line of a report."""

_BEFORE = '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">\n<meta name="viewport"'
"""How reports began that did not yet name what made them."""


def write_report(path: str | Path, results: Results) -> None:
    """Write `report` to a file, atomically. Raises UserError for one that cannot be written, and for one that is there
    and is no report."""
    check_place(path)
    atomic_write_text(path, report(results))


def check_report(path: Path) -> bool:
    """Whether a report says what its digest is. Raises FileFormatError for one that is not as it was written, and for
    what is no report."""
    content = path.read_bytes()
    found = _DIGEST.search(content)
    if found is None:
        if f'content="{GENERATOR}"'.encode() not in content[:1024] or not content.rstrip().endswith(b"</html>"):
            raise FileFormatError(f"{path} is no whole report")
        return False
    if digest_of_bytes(content[: found.start()]) != found[1].decode():
        raise FileFormatError(f"{path} is damaged: its contents are not what was written (another digest)")
    return True


def check_place(path: str | Path) -> None:
    """Before anything is computed: raises UserError where a report would replace something else."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the file of the report, for instance {path / 'report.html'}")
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            head = file.read(1024).decode("utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"cannot read {path}, which is already there: {error.strerror or error}") from error
    if head and f'content="{GENERATOR}"' not in head and not head.startswith(_BEFORE):
        raise UserError(f"{path} is already there, and is no report: it stays as it is; give another file")
