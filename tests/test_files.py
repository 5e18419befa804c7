"""A write that fails leaves what was there, and says why."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from lora_ensemble.disk.files import atomic_write, atomic_write_json, atomic_write_text
from lora_ensemble.errors import UserError


@contextmanager
def file_size_limit(size: int):
    """Writes beyond `size` bytes fail with an OSError, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_json_round_trip_makes_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.json"
    atomic_write_json(path, {"ä": [1, None]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"ä": [1, None]}
    assert os.listdir(path.parent) == ["run.json"]


def test_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "results.txt"
    atomic_write_text(path, "old")
    with file_size_limit(10_000), pytest.raises(UserError, match=r"cannot write .*results\.txt: File too large"):
        atomic_write_text(path, "x" * 100_000)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["results.txt"]


def test_interrupted_writer_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "results.txt"
    atomic_write_text(path, "old")

    def interrupted(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, interrupted)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["results.txt"]


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match=r"cannot write .*taken"):
        atomic_write_text(tmp_path / "taken" / "results.txt", "text")
    assert (tmp_path / "taken").read_text() == "a file"


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("text")

    def private(temporary: Path) -> None:
        temporary.write_text("text")
        temporary.chmod(0o600)

    atomic_write(tmp_path / "atomic", private)
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode
