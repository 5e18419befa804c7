"""The campaigns of `benchmarks/`, in small: kills, damaged files, and foreign files that no sane program wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def counted(tmp_path: Path, *words: object) -> dict[str, Any]:
    """What a campaign counts."""
    found = tmp_path / "found.json"
    asked = [sys.executable, *map(str, words), "--json", str(found)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=BENCHMARKS)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    count: dict[str, Any] = json.loads(found.read_text())
    return count


@pytest.mark.parametrize(("what", "cases"), [("kills", 3), ("damage", 6)])
def test_no_traceback_and_no_silent_difference(what: str, cases: int, tmp_path: Path) -> None:
    count = counted(tmp_path, "faults.py", what, "--cases", cases, "--seed", 7)
    assert sum(count.values()) >= cases
    assert [name for name in count if "traceback" in name or "silent" in name or "leftover" in name] == []


def test_foreign_files_are_read_or_refused_in_a_line(tmp_path: Path) -> None:
    count = counted(tmp_path, "fuzz.py", "--inputs", 300, "--seed", 7)["total"]
    assert count["read"]
    assert count["clear error"]
    assert "other exception" not in count
