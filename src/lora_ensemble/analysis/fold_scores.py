"""The scores of a cross-validation: each fold's, their mean and standard deviation, and those of all rows pooled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lora_ensemble.analysis.evaluation import evaluate
from lora_ensemble.analysis.rendering import arrow, latex, markdown, mean, number, std
from lora_ensemble.analysis.scores import Scores
from lora_ensemble.errors import UnknownNameError
from lora_ensemble.predictions import Pooling, Predictions
from lora_ensemble.printable import html_table


@dataclass(frozen=True, eq=False)
class FoldScores:
    """Built by `evaluate_folds`.

    A score of the pooled rows need not be the mean of the folds' scores: ECE, F1 and the like are no means over rows,
    and ECE has an upward bias that is larger on the fewer rows of a fold.
    """

    folds: dict[int, Scores]
    """By the fold's number; without intervals."""
    pooled: Scores
    """Of the rows of all folds together, each predicted by the ensemble that did not see it."""
    note: str = ""
    """What a reader of the numbers has to know."""

    def mean(self, name: str) -> float:
        """Mean over folds. Raises UnknownNameError for a score that there is not."""
        return mean(self._values(name))

    def std(self, name: str) -> float:
        """Sample standard deviation over folds; NaN for one fold. Folds share training rows, so it is not the spread
        of independent repetitions."""
        return std(self._values(name))

    def to_markdown(self, digits: int = 4) -> str:
        """A table with a row per score: mean ± std over folds, the pooled score, its 95 % interval; then the note."""
        return markdown(*self._cells(digits)) + (f"\n{self.note}\n" if self.note else "")

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_table(*self._cells(4))

    def to_latex(self, digits: int = 4) -> str:
        """The same as a LaTeX tabular (package booktabs), the note as a comment."""
        return latex(*self._cells(digits)) + (f"% {self.note}\n" if self.note else "")

    def _values(self, name: str) -> list[float]:
        if name not in self.pooled:
            raise UnknownNameError("score", name, self.pooled)
        return [scores[name] for scores in self.folds.values()]

    def _cells(self, digits: int) -> tuple[list[str], list[list[str]]]:
        count = len(self.folds)
        header = ["score", f"mean ± std of {count} folds" if count > 1 else "one fold", "pooled"]
        header += ["95 % interval"] * bool(self.pooled.intervals)
        rows = []
        for name, value in self.pooled.items():
            over_folds = number(self.mean(name), self.std(name), digits=digits)
            row = [arrow(name), over_folds, number(value, digits=digits)]
            if self.pooled.intervals:
                low, high = (number(end, digits=digits) for end in self.pooled.interval(name))
                row.append("-" if low == "-" else f"{low} to {high}")
            rows.append(row)
        return header, rows


def evaluate_folds(
    parts: Mapping[int, Predictions],
    *,
    intervals: bool = True,
    resamples: int = 1000,
    seed: int = 0,
    pooling: Pooling = "mean-of-probabilities",
    note: str = "",
) -> FoldScores:
    """Scores of each fold's ensemble on its test rows, and of all rows together.

    parts: predictions by the fold's number; no row may be in two. intervals: of the pooled scores, over rows; what
    they and the other arguments mean is said in `evaluate`. Raises what `evaluate` and `Predictions.concat_rows` raise.
    """
    pooled = Predictions.concat_rows(list(parts.values()))
    return FoldScores(
        folds={fold: evaluate(p, intervals=False, pooling=pooling) for fold, p in parts.items()},
        pooled=evaluate(pooled, intervals=intervals, resamples=resamples, seed=seed, pooling=pooling),
        note=note,
    )
