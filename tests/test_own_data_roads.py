"""The three commands of docs/how-to-own-data.md, from raw files to answers, on small parts of real data."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def roads():
    spec = importlib.util.spec_from_file_location("own_data", ROOT / "benchmarks" / "own_data.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_data"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["text", "image", "audio"])
def test_the_page_has_the_commands(roads, kind):
    page = (ROOT / "docs" / "how-to-own-data.md").read_text(encoding="utf-8")
    train, evaluate, answer = roads.commands(kind, Path("DATA"), Path("."), small=True)
    assert f"lora-ensemble {' '.join(train[:6])}\n" in page
    assert f"lora-ensemble {' '.join(evaluate)}\nlora-ensemble {' '.join(answer)}\n" in page


@pytest.mark.data
@pytest.mark.parametrize("kind", ["text", "image", "audio"])
def test_from_raw_files_to_answers(roads, kind, data_dir, tmp_path):
    found = roads.road(kind, data_dir, tmp_path, small=True)
    assert found["rows"] > 5
    assert set(found["seconds"]) == {"train", "evaluate", "predict"}
