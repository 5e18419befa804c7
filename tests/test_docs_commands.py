"""The commands of the pages: each is understood by the command line of today, and those of "Start here" are run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lora_ensemble import registry
from lora_ensemble.cli import main, recipe_words

ROOT = Path(__file__).parents[1]
LOG = "experiments.md"
"""Its commands are those of their day."""
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != LOG)]
BLOCK = re.compile(r"```(?:bash|sh|console)?\n(.*?)```", re.DOTALL)


class Understood(BaseException):
    """All words of a command were read."""


def commands(page: Path) -> list[str]:
    """Lines of blocks without a language; what is said of them, after # or two spaces, is cut off."""
    return [line for block in BLOCK.findall(page.read_text(encoding="utf-8")) for line in in_block(block)]


def in_block(block: str) -> list[str]:
    """Variables have the value that the block gives them, of a loop the first one."""
    text = re.sub(r"\\\n\s*", "", block)
    values = {
        name: value.strip("\"'()") for name, value in re.findall(r"^(\w+)=(\(.*?\)|\".*?\"|'.*?'|\S*)", text, re.M)
    }
    values |= dict(re.findall(r"\bfor (\w+) in (\S+)", text))
    found = [re.split(r"\s+#|\s{2,}|\s+[|<>]\s|;", line.strip())[0] for line in re.split(r"\n|\bdo ", text)]
    found = [re.sub(r"\"?\$\{?(\w+)(\[@\])?\}?\"?", lambda m: values.get(m[1], m[0]), line) for line in found]
    return [line for line in found if re.match(r"lora-ensemble [a-z]", line) and "..." not in line]


ALL = sorted({command for page in PAGES for command in commands(page)})


def test_there_are_commands():
    assert len(ALL) > 60


@pytest.mark.parametrize("command", ALL)
def test_every_command_is_understood(command, monkeypatch, capsys):
    """The command's own parser reads all its words, and an experiment's parts fit; nothing is trained or read."""
    _, name, *words = shlex.split(command)
    module = registry.module("commands", name)
    of_recipe = name in ("train", "cross-validate", "reproduce")
    if of_recipe:
        monkeypatch.setattr(recipe_words, "asked", stopping(recipe_words.asked))
    elif name == "compare":
        monkeypatch.setattr(module, "compare", stopping(lambda *_, **__: None))
    else:
        monkeypatch.setattr(module, "parse", stopping(module.parse))
    with pytest.raises(Understood):
        module.main(words)


def stopping(function):
    def stopped(*given, **named):
        found = function(*given, **named)
        if hasattr(found, "experiment"):
            found.experiment.check()
        raise Understood

    return stopped


def test_the_first_run_of_start_here_runs(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    first = page[page.index("## A first run") : page.index("## Your own data")]
    lines = [line for block in BLOCK.findall(first) for line in block.splitlines()]
    assert [line.split()[1] for line in lines] == ["train", "evaluate", "report", "calibrate", "verify"]
    monkeypatch.chdir(tmp_path)
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, capsys.readouterr().err
    assert (tmp_path / "first.html").is_file()
    assert "auroc_mutual_information" in capsys.readouterr().out
