"""The examples run as they are, each in an empty folder, and say something."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks, transformers 5 warns
@pytest.mark.filterwarnings("ignore:`isinstance.treespec:FutureWarning")  # lightning asks, torch warns
@pytest.mark.filterwarnings("ignore:.*does not have many workers")  # lightning's advice
def test_an_example_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code: object = None
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as stop:
        code = stop.code
    assert not code
    assert len(capsys.readouterr().out.splitlines()) >= 2


def test_an_example_is_read_at_a_glance() -> None:
    assert len(EXAMPLES) >= 5
    assert {path.name: n for path in EXAMPLES if (n := len(path.read_text().splitlines())) > 40} == {}
