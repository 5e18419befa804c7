"""A user's labels, numbers or texts, as classes with names."""

from __future__ import annotations

import math
import numbers
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lora_ensemble.errors import DataError
from lora_ensemble.sources.labels import shown, some_of


def plain_label(value: Any) -> str | None:
    """A label as text, 1.0 and "1.0" as "1"; None for an empty cell."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value).strip()
    number = _number(value)
    if number is not None and number.is_integer() and abs(number) < 2**53:
        return str(int(number)) if isinstance(value, numbers.Number) or "." in text else text
    return text or None


def classes_of(labels: Sequence[str | None], where: str) -> list[str]:
    """Names of the classes, numbers in their order, texts in that of the alphabet.

    labels: of `plain_label`. Raises DataError where there is no class, or one; where labels are measurements and no
    classes; and where they are so many that the column must be another one.
    """
    counts = Counter(label for label in labels if label is not None)
    numbers_of = {label: _number(label) for label in counts}
    if broken := [label for label, number in numbers_of.items() if number is not None and not number.is_integer()]:
        raise DataError(
            f"{where}: labels such as {shown(broken[0])} are numbers with a fraction ({len(counts)} different ones): "
            "expected classes; name another label column, or put the numbers into classes"
        )
    if len(counts) < 2:
        found = f"one class alone, {shown(next(iter(counts)))}" if counts else "no class"
        raise DataError(f"{where} has {found}: expected at least two")
    if len(counts) > 20 and len(counts) > sum(counts.values()) / 2:
        some = some_of([shown(label) for label in counts], 3)
        raise DataError(
            f"{where}: {len(counts)} different labels in {sum(counts.values())} rows ({some}): these are no classes; "
            "name another label column"
        )
    if all(number is not None for number in numbers_of.values()):
        return sorted(counts, key=float)
    return sorted(counts)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
