"""--members 3:6 on a command line."""

from __future__ import annotations

import pytest

from lora_ensemble.cli.member_range import folder_suffix, spelled_out
from lora_ensemble.cli.recipe_words import Options, asked
from lora_ensemble.errors import UserError
from lora_ensemble.methods.lora import Lora


@pytest.mark.parametrize(
    ("words", "members", "first", "suffix"),
    [
        (["--members", "3:6"], 3, 3, "-members3to5"),
        (["--seed", "1", "--members=0:2", "--epochs", "2"], 2, 0, "-members0to1"),
        (["--members", ":4", "--output", "3:6"], 4, 0, "-members0to3"),
        (["--members", "4"], 4, 0, ""),
        ([], 5, 0, ""),
    ],
)
def test_a_range_becomes_members_and_first_member(words: list[str], members: int, first: int, suffix: str) -> None:
    found = asked("digits-lora", words, Options, "train")
    method = found.experiment.method
    assert (method.members, method.first_member) == (members, first)  # type: ignore[attr-defined]
    assert folder_suffix(found.members) == suffix


@pytest.mark.parametrize("text", ["6:3", "3:3", "3:", "a:b", "1:2:3", "-1:2"])
def test_no_range(text: str) -> None:
    with pytest.raises(UserError, match=f"--members {text}: ") as raised:
        spelled_out(text, Lora())
    assert "\n" not in str(raised.value)
