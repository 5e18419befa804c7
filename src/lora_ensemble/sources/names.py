"""Names of rows: those that the source gives, or what follows from the content."""

from __future__ import annotations

from collections import Counter

from lora_ensemble.errors import DataError


def names(ids: list[str], content: list[str]) -> list[str]:
    """A name for each row: the source's own, or else by its content, the second of two copies with -2. Raises DataError
    for a name that two rows have."""
    copies: Counter[str] = Counter()
    out = []
    for own, key in zip(ids, content, strict=True):
        copies[own or key] += 1
        if own and copies[own] > 1:
            raise DataError(f"id {own!r} is that of two rows; ids must be unique")
        out.append(own or (key if copies[key] == 1 else f"{key}-{copies[key]}"))
    return out
