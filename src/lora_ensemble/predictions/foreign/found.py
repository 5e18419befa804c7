"""What is looked for in a foreign file of logits, and what was found in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lora_ensemble.errors import DataError, did_you_mean

LABELS = ("labels_b", "labels", "label", "targets", "target", "y_true", "y_test", "y")
IDS = ("ids", "id")
CLASSES = ("classes", "class_names")
FEATURES = ("features_mbd", "features")
VALUES = {
    "logits_mbc": False, "logits_bc": False, "logits": False, "log_probs": False, "log_probabilities": False,
    "probs_mbc": True, "probs_bc": True, "probs": True, "probabilities": True, "y_proba": True, "y_prob": True,
}  # fmt: skip
"""What arrays and columns are called elsewhere, in lower case; of values, whether they are probabilities."""


@dataclass(frozen=True)
class Wanted:
    """What the user says of a file; what is not said is found by its name."""

    labels: str | None = None
    """Array or column of the labels."""
    labelled: bool = True
    """Whether labels are looked for at all."""
    columns: tuple[str, ...] = ()
    """Columns of the values, one for each class, or the one array of them."""
    probabilities: bool = False
    members: int | None = None
    """M of values that lie below each other, (M * B, C), member 0 first."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a file holds; nothing of it is checked yet."""

    values: Any
    """(M, B, C), or (B, C), or (M * B, C) where the user says M."""
    are_probabilities: bool = False
    """Whether the file says so."""
    labels: Any = None
    """One for each row: class indices, or names of classes."""
    ids: Sequence[str] | None = None
    classes: Sequence[str] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    features: Any = None


def named(names: Iterable[str], known: Iterable[str], what: str) -> str | None:
    """The one of the names that is among those known, in whatever case. Raises DataError for several."""
    wanted = set(known)
    found = [name for name in names if str(name).lower() in wanted]
    if len(found) > 1:
        raise DataError(f"which of {', '.join(found)} are the {what}?")
    return found[0] if found else None


def there(names: Sequence[str], name: str, what: str) -> str:
    """The name itself. Raises DataError that lists what there is, with the nearest, where it is not among the names."""
    if name in names:
        return name
    raise DataError(f"there is no {what} {name!r}, only {', '.join(map(str, names))}.{did_you_mean(name, names)}")
