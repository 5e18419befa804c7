"""The documentation is run: every block of Python, the numbers of the README, the commands, the reference."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
from pathlib import Path

import pytest
import torch

from lora_ensemble import registry
from tiny_language_models import questions, save_model

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
NUMBER = re.compile(r"\d+\.\d+")


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.fixture
def names(tmp_path, monkeypatch) -> dict:
    """What the blocks of a page take for granted: a folder of their own, data, adapters. There is no hub: a tiny model
    stands for the one that would be downloaded."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageClassification, ViTConfig, ViTForImageClassification

    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}

    def tiny(*_, num_labels: int = 10, **__):
        return ViTForImageClassification(ViTConfig(image_size=16, patch_size=8, num_labels=num_labels, **size))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(AutoModelForImageClassification, "from_pretrained", tiny)
    for name in ("one", "two", "three"):
        config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"])
        get_peft_model(tiny(), config).save_pretrained(f"adapters/{name}")
    save_model(Path("mistralai/Mistral-7B-v0.1"), "mistral")
    save_model(Path("HuggingFaceTB/SmolLM2-135M"), "llama")
    split = questions(120)
    rows = [{"id": i, **e, "answer": int(a)} for i, e, a in zip(split.ids, split.examples, split.labels, strict=True)]
    Path("questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("new-questions").mkdir()
    unanswered = {"question": "Where does a cat sleep?", "choices": ["on the mat", "in a tree"]}
    Path("new-questions/test.jsonl").write_text(json.dumps(unanswered) + "\n")
    x, y = torch.randn(4, 3, 16, 16), torch.randint(10, (4,))
    return {"batches": [(x, y)] * 2, "x": x, "y": y}


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks, transformers 5 warns
def test_the_python_of_a_page_runs(page, names):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for number, block in enumerate(blocks(page)):
            if "from_peft" in block:  # the page goes on from the plain model
                names["model"] = names["AutoModelForImageClassification"].from_pretrained()
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)
    if page.name == "README.md":
        claimed = re.search(r"```\n(accuracy .*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        lines = claimed[1].splitlines()
        got, expected = (
            [float(n) for line in text for n in NUMBER.findall(line)]
            for text in (printed.getvalue().splitlines()[: len(lines)], lines)
        )
        assert got == pytest.approx(expected, abs=0.02)  # machines round differently


def test_every_command_that_a_page_names_exists():
    named = set()
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        text = page.read_text(encoding="utf-8")
        named |= set(re.findall(r"^\s*(?:for .* do )?lora-ensemble ([a-z][a-z-]*)", text, re.M))
    assert {"quickstart", "train", "evaluate"} <= named <= set(registry.names("commands"))


def test_links_between_pages_lead_somewhere():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"


def test_the_reference_is_what_the_docstrings_say():
    path = ROOT / "scripts" / "make_reference.py"
    spec = importlib.util.spec_from_file_location("make_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs/reference.md").read_text(encoding="utf-8") == module.reference(), "run: make reference"
