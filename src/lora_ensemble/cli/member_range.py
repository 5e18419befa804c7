"""Members of a larger ensemble that are trained apart, on a command line: `--members 3:6` are members 3, 4 and 5."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lora_ensemble.contracts import Method
from lora_ensemble.errors import UserError
from lora_ensemble.registry import name_of

FLAG = "--members"


def spelled_out(words: Sequence[str], method: Method) -> list[str]:
    """The words with a range of members as the two options that it means; without a range, as they are.

    Raises UserError for a range without members, and for a method whose members cannot be trained apart."""
    found = _range(words)
    if found is None:
        return list(words)
    start, length, members = found
    if not hasattr(method, "first_member"):
        raise UserError(f"{FLAG} {members.start}:{members.stop}: {name_of(method)} trains all its members in one run")
    options = [f"--method.members={len(members)}", f"--method.first-member={members.start}"]
    return [*words[:start], *options, *words[start + length :]]


def folder_suffix(words: Sequence[str]) -> str:
    """What tells the run folders of different ranges apart; nothing where no range is asked for."""
    found = _range(words)
    return "" if found is None else f"-members{found[2].start}to{found[2].stop - 1}"


def _range(words: Sequence[str]) -> tuple[int, int, range] | None:
    """Where a range is asked for, how many words that takes, and the range."""
    for i, word in enumerate(words):
        flag, equals, text = word.partition("=")
        if flag != FLAG or not (equals or i + 1 < len(words)):
            continue
        text = text if equals else words[i + 1]
        if (ends := re.fullmatch(r"(\d*):(\d+)", text)) is None:
            if ":" in text:
                raise UserError(f"{FLAG} {text}: expected FIRST:END, as in 3:6, which is members 3, 4 and 5")
            continue
        members = range(int(ends[1] or 0), int(ends[2]))
        if not members:
            raise UserError(f"{FLAG} {text}: there is no member in it; 3:6 is members 3, 4 and 5")
        return i, 1 if equals else 2, members
    return None
