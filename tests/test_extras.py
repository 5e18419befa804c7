"""The absence of what an extra brings is one line that names the extra."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lora_ensemble.cli import main


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [
        ("datasets", ["train", "cifar10-lora", "--data", "FOLDER", "--output", "run"], "text"),
        (
            "timm",
            ["train", "digits-lora", "--backbone", "vit", "--backbone.name", "timm/vit_tiny_patch16_224"],
            "vision",
        ),
    ],
)
def test_one_line_names_it(
    package: str, words: list[str], extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (tmp_path / "train.parquet").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    words = [str(tmp_path) if word == "FOLDER" else word for word in words]
    output = [] if "--output" in words else ["--output", "run"]
    assert main([*words, *output, "--device", "cpu"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("lora-ensemble: ")
    assert f"needs {package}: pip install 'lora-ensemble[{extra}]'" in said
