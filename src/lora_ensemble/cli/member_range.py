"""Members of a larger ensemble that are trained apart, on a command line: `--members 3:6` are members 3, 4 and 5."""

from __future__ import annotations

import re

from lora_ensemble.contracts import Method
from lora_ensemble.errors import UserError

FLAG = "--members"


def spelled_out(text: str, method: Method) -> list[str]:
    """What follows --members as options: a number of members, or a range of them.

    Raises UserError for a range without members, and for a method whose members cannot be trained apart."""
    members = _range(text)
    if members is None:
        return [f"--method.members={text}"]
    if not hasattr(method, "first_member"):
        raise UserError(f"{FLAG} {members.start}:{members.stop}: {method.kind} trains all its members in one run")
    return [f"--method.members={len(members)}", f"--method.first-member={members.start}"]


def folder_suffix(text: str | None) -> str:
    """What tells the run folders of different ranges apart; nothing where no range is asked for."""
    members = None if text is None else _range(text)
    return "" if members is None else f"-members{members.start}to{members.stop - 1}"


def _range(text: str) -> range | None:
    if (ends := re.fullmatch(r"(\d*):(\d+)", text)) is None:
        if ":" in text:
            raise UserError(f"{FLAG} {text}: expected FIRST:END, as in 3:6, which is members 3, 4 and 5")
        return None
    members = range(int(ends[1] or 0), int(ends[2]))
    if not members:
        raise UserError(f"{FLAG} {text}: there is no member in it; 3:6 is members 3, 4 and 5")
    return members
