"""Fingerprints of data change with their content, and with nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lora_ensemble.contracts import Split
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.disk import fingerprints
from lora_ensemble.disk.fingerprints import changed, fingerprint, of_rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "train.jsonl": "{}\n",
        "test.jsonl": "{}\n",
        "data/train-00000-of-00001.parquet": "p",
        "data/test-00000-of-00001.parquet": "q",
        "images/test/cat/1.png": "1",
        "images/train/cat/1.png": "2",
        "audio/1.wav": "3",
        "README.md": "words",
        ".cache/x": "hidden",
    }
    for name, text in files.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "data"


def test_parts_of_a_folder(folder: Path) -> None:
    assert sorted(fingerprint(str(folder))) == [
        "audio/",
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
        "images/test/",
        "images/train/",
        "test.jsonl",
        "train.jsonl",
    ]


def test_a_copy_with_other_times_is_the_same(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, ns=(1, 1))
    assert fingerprint(str(tmp_path / "copy")) == fingerprint(str(folder))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: (d / "train.jsonl").write_text("[]\n"), ["train.jsonl"]),
        (lambda d: (d / "images/train/cat/2.png").write_text("2"), ["images/train/"]),
        (lambda d: (d / "images/train/cat/1.png").rename(d / "images/train/cat/9.png"), ["images/train/"]),
        (lambda d: (d / "audio/1.wav").unlink(), ["audio/"]),
        (lambda d: (d / "more.csv").touch(), ["more.csv"]),
        (lambda d: (d / "README.md").write_text("other words"), []),
        (lambda d: (d / ".cache/x").write_text("other"), []),
    ],
)
def test_what_changed_is_named(folder: Path, change: Callable[[Path], object], named: list[str]) -> None:
    before = fingerprint(str(folder))
    change(folder)
    assert changed(before, fingerprint(str(folder))) == named


def test_training_does_not_see_the_other_splits(folder: Path) -> None:
    before = fingerprint(str(folder))
    for name in ("test.jsonl", "data/test-00000-of-00001.parquet", "images/test/cat/1.png"):
        (folder / name).write_text("other")
    now = fingerprint(str(folder))
    assert changed(before, now) == ["data/test-00000-of-00001.parquet", "images/test/", "test.jsonl"]
    assert changed(before, now, training=True) == []
    assert changed({"test.csv": "a"}, {"test.csv": "b"}, training=True) == ["test.csv"]  # the only one: carved


def test_what_is_not_known_has_not_changed(folder: Path) -> None:
    assert fingerprint("") == {}
    assert fingerprint("owner/never-loaded-here") == {}
    assert changed({}, fingerprint(str(folder))) == changed(fingerprint(str(folder)), {}) == []


def test_the_revision_of_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    ref = tmp_path / "datasets--owner--name" / "refs" / "main"
    ref.parent.mkdir(parents=True)
    ref.write_text("abc123")
    assert fingerprint("owner/name") == {"owner/name": "revision abc123"}


def test_large_folders_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All names and sizes, tables entirely, of other files the pieces."""
    monkeypatch.setattr(fingerprints, "WHOLE", 1000)
    monkeypatch.setattr(fingerprints, "PIECE", 10)
    monkeypatch.setattr(fingerprints, "SAMPLED", 3)
    for i in range(7):
        (tmp_path / f"{i}.bin").write_bytes(bytes([i]) * 500)
    (tmp_path / "labels.csv").write_bytes(b"x" * 500)
    before = fingerprint(str(tmp_path))

    def after(name: str, position: int) -> list[str]:
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:position] + b"\xff" + whole[position + 1 :])
        found = changed(before, fingerprint(str(tmp_path)))
        (tmp_path / name).write_bytes(whole)
        return found

    assert after("0.bin", 3) == after("0.bin", 495) == after("0.bin", 250) == ["0.bin"]
    assert after("0.bin", 100) == []  # documented: between the pieces
    assert after("1.bin", 3) == []  # documented: not in the sample
    assert after("labels.csv", 100) == ["labels.csv"]
    (tmp_path / "1.bin").write_bytes(bytes(501))
    assert changed(before, fingerprint(str(tmp_path))) == ["1.bin"]


def test_many_parts_are_one(tmp_path: Path) -> None:
    for i in range(150):
        (tmp_path / f"{i}.png").write_text(str(i))
    (tmp_path / "train.csv").write_text("a")
    assert sorted(fingerprint(str(tmp_path))) == ["*", "train.csv"]


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "1.png").write_text("1")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cats").symlink_to(tmp_path / "real")
    (tmp_path / "data" / "cats" / "circle").symlink_to(tmp_path / "data")
    before = fingerprint(str(tmp_path / "data"))
    assert sorted(before) == ["cats/"]
    (tmp_path / "real" / "1.png").write_text("2")
    assert changed(before, fingerprint(str(tmp_path / "data"))) == ["cats/"]


def test_data_that_come_with_the_package_are_known_by_content() -> None:
    found = Digits().fingerprint()
    assert sorted(found) == ["test", "train", "validation"]
    fewer = Digits(train_examples=50).fingerprint()
    assert changed(found, fewer) == ["train"]
    split: Split = Digits().load("test")
    assert split.labels is not None
    assert found["test"] == of_rows(split.labels, split.ids, split.classes, split.examples)
    other = [{"image": np.flip(example["image"])} for example in split.examples]
    assert found["test"] != of_rows(split.labels, split.ids, split.classes, other)
