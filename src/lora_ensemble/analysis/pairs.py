"""all_pairs: which of several methods are better than which, on the same samples, corrected for many comparisons."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from lora_ensemble.analysis.paired import Paired, holm, paired
from lora_ensemble.analysis.rendering import arrow, latex, markdown, number
from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions

MAIN = ("accuracy", "nll", "brier", "ece_15", "aurc")
"""Scores that are compared where none are named."""
REAL = 0.05
"""A corrected p-value of at most this counts as a real difference."""


@dataclass(frozen=True)
class Pair:
    """Two methods and one score."""

    a: str
    b: str
    found: Paired
    corrected_p: float
    """Of all comparisons that were made together (Holm 1979)."""

    @property
    def better(self) -> str | None:
        """The better method where the difference is real, that is, more than chance; else None."""
        return (self.a if self.found.a_is_better else self.b) if self.corrected_p <= REAL else None


@dataclass(frozen=True)
class Pairs:
    """Every pair of methods, for every score."""

    pairs: tuple[Pair, ...]

    def to_markdown(self, digits: int = 4) -> str:
        """A row for each comparison."""
        return markdown(*self._cells(digits))

    def to_latex(self, digits: int = 4) -> str:
        """The same table as a LaTeX tabular (package booktabs)."""
        return latex(*self._cells(digits))

    def to_json(self) -> str:
        """A list of the comparisons."""
        rows = [
            {"a": p.a, "b": p.b, **asdict(p.found), "corrected_p": p.corrected_p, "better": p.better}
            for p in self.pairs
        ]
        return json.dumps(rows, indent=2)

    def _cells(self, digits: int) -> tuple[list[str], list[list[str]]]:
        header = ["score", "a", "b", "a - b", "95 % interval", "p, corrected", "better"]
        rows = []
        for pair in self.pairs:
            low, high = (number(end, digits=digits) for end in pair.found.interval)
            difference = number(pair.found.difference, digits=digits)
            p_value = number(pair.corrected_p, digits=4)
            better = pair.better or "no real difference"
            rows.append([arrow(pair.found.score), pair.a, pair.b, difference, f"{low} to {high}", p_value, better])
        return header, rows


def all_pairs(
    methods: Mapping[str, Predictions], scores: Sequence[str] = MAIN, *, resamples: int = 10_000, seed: int = 0
) -> Pairs:
    """Compare every two methods on the same samples by a paired bootstrap, each score; p-values are corrected for all.

    The smallest p-value that can be found is 2 / (resamples + 1), times the number of comparisons. Raises DataError for
    fewer than two methods, and what `paired` raises.
    """
    if len(methods) < 2:
        raise DataError(f"a paired comparison needs at least two methods, there are {len(methods)}")
    named = [(score, a, b) for score in scores for a, b in itertools.combinations(methods, 2)]
    found = [paired(methods[a], methods[b], score, resamples=resamples, seed=seed) for score, a, b in named]
    corrected = holm([each.p_value for each in found])
    return Pairs(tuple(Pair(a, b, each, p) for (_, a, b), each, p in zip(named, found, corrected, strict=True)))
