"""Lists on a command line, in one way everywhere: with commas, with spaces, or with the flag given again."""

from __future__ import annotations

import re
from typing import TypeAlias

from tyro.conf import UseAppendAction

from lora_ensemble.errors import UserError

Words: TypeAlias = UseAppendAction[tuple[tuple[str, ...], ...]]
"""A field of options that is a list; see `items`."""


def items(given: tuple[tuple[str, ...], ...]) -> list[str]:
    """The items of a list: ((0,1), (2,)) of `--seeds 0,1 --seeds 2` and of `--seeds "0 1 2"` are 0, 1, 2."""
    return [item for words in given for word in words for item in re.split(r"\s*,\s*|\s+", word.strip())]


def whole_numbers(flag: str, given: tuple[tuple[str, ...], ...]) -> list[int]:
    """The items as numbers. Raises UserError for others, and for a number that is given twice."""
    words = items(given)
    if not all(word.isdecimal() for word in words) or len({int(word) for word in words}) < len(words):
        raise UserError(f"{flag} {','.join(words)!r}: expected different whole numbers with commas, for instance 0,1,2")
    return [int(word) for word in words]
