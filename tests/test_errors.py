"""What every message is made of: the nearest name, the first line of somebody else's error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import lora_ensemble
from lora_ensemble.errors import UnknownNameError, did_you_mean, first_line, nearest


@pytest.mark.parametrize(
    ("name", "found"),
    [("digts", ["digits"]), ("DIGITS", ["digits"]), ("leters", ["Letters"]), ("xyz", []), ("", [])],
)
def test_nearest(name: str, found: list[str]) -> None:
    assert nearest(name, ["digits", "Letters", "svhn"]) == found
    assert did_you_mean(name, ["digits", "Letters", "svhn"]) == "".join(f" Did you mean {f!r}?" for f in found)


def test_nearest_first_and_at_most_n() -> None:
    assert nearest("lora", ["loras", "lora", "laro", "deep"], n=2) == ["lora", "loras"]
    assert nearest("lora", []) == []


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  one  \ntwo"), "one"),
        (ValueError(""), "ValueError"),
        (KeyError(), "KeyError"),
    ],
)
def test_first_line(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_an_unknown_name_is_one_line_with_the_nearest_and_all() -> None:
    said = str(UnknownNameError("method", "lroa", ["lora", "deep"]))
    assert said == "unknown method 'lroa'. Did you mean 'lora'? Available: deep, lora."


def test_nearest_names_are_found_in_one_place() -> None:
    def others() -> Iterator[Path]:
        for path in Path(lora_ensemble.__file__).parent.rglob("*.py"):
            if "get_close_matches" in path.read_text(encoding="utf-8") and path.name != "errors.py":
                yield path

    assert list(others()) == []
