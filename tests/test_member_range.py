"""--members 3:6 on a command line."""

from __future__ import annotations

import pytest

from lora_ensemble.cli.commands.train import configured
from lora_ensemble.cli.member_range import folder_suffix, spelled_out
from lora_ensemble.errors import UserError
from lora_ensemble.methods.lora import Lora


@pytest.mark.parametrize(
    ("words", "members", "first", "suffix"),
    [
        (["--members", "3:6"], 3, 3, "-members3to5"),
        (["--seed", "1", "--members=0:2", "--epochs", "2"], 2, 0, "-members0to1"),
        (["--members", ":4"], 4, 0, "-members0to3"),
        (["--members", "4"], 4, 0, ""),
        ([], 5, 0, ""),
    ],
)
def test_a_range_becomes_members_and_first_member(words: list[str], members: int, first: int, suffix: str) -> None:
    experiment, _ = configured("digits-lora", words)
    assert (experiment.method.members, experiment.method.first_member) == (members, first)  # type: ignore[attr-defined]
    assert folder_suffix(words) == suffix


def test_other_words_stay_where_they_are() -> None:
    words = ["--output", "3:6", "--members", "1:2", "--seed", "4"]
    expected = ["--output", "3:6", "--method.members=1", "--method.first-member=1", "--seed", "4"]
    assert spelled_out(words, Lora()) == expected
    assert spelled_out(["--members"], Lora()) == ["--members"]


@pytest.mark.parametrize("text", ["6:3", "3:3", "3:", "a:b", "1:2:3", "-1:2"])
def test_no_range(text: str) -> None:
    with pytest.raises(UserError, match=f"--members {text}: ") as raised:
        spelled_out(["--members", text], Lora())
    assert "\n" not in str(raised.value)
