"""A section from outside: the worked example of CONTRIBUTING.md, named by an entry point of another package."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from lora_ensemble.report import report, sections

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"
BLOCK = re.compile(r"```python\n# src/lora_ensemble/report/sections/confident\.py\n(.*?)```", re.DOTALL)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package, as pip leaves it, with the example in it."""
    (example,) = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    (tmp_path / "confident_members.py").write_text(example, encoding="utf-8")
    metadata = tmp_path / "confident_members-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: confident-members\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[lora_ensemble.sections]\nconfident = confident_members\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    sections.found.cache_clear()
    yield
    sections.found.cache_clear()
    sys.modules.pop("confident_members", None)


@pytest.mark.usefixtures("package")
def test_a_section_of_another_package_has_its_place(comparison):
    page = report(comparison)
    assert "<h2>Members alone</h2>" in page
    assert page.index("<h2>Members</h2>") < page.index("<h2>Members alone</h2>") < page.index("<h2>Disagreement of")
    assert f"<td>{comparison.runs[0].scores.member_mean('nll'):.3f}</td>" in page
