"""What can be promised of new rows: prediction sets of a coverage, and answers of a risk, fitted on validation and
measured on the split that is reported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sets:
    """Prediction sets for one coverage."""

    target: float
    """The coverage that is promised, 0 .. 1."""
    coverage: float | None
    """Share of the rows whose label is in their set; None without labels."""
    low: float | None
    """95 % interval of that share."""
    high: float | None
    size: float
    """Mean number of classes in a set."""
    single: float
    """Share of the rows whose set holds one class."""
    worst: float | None = None
    """Coverage of the class that is covered least."""
    worst_class: str | None = None


@dataclass(frozen=True)
class Answers:
    """What is answered, and what is handed over, for one risk."""

    target: float
    """The share of wrong answers that is promised at most, 0 .. 1."""
    threshold: float | None
    """Rows of at most this uncertainty are answered; None where the risk cannot be promised."""
    kept: float | None
    """Share of the rows that are answered."""
    risk: float | None
    """Share of wrong ones among them; None without labels."""


@dataclass(frozen=True)
class Promises:
    """Fitted on validation, measured on the split of the report."""

    rows: int
    """Of validation."""
    kind: str
    """Of conformal prediction."""
    sets: tuple[Sets, ...]
    by: str
    """The uncertainty by which rows are handed over."""
    confidence: float
    """That the promise of a risk holds, over validation splits."""
    answers: tuple[Answers, ...]
