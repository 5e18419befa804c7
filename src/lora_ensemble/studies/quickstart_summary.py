"""What the numbers of a quickstart show, in words that follow from the numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lora_ensemble.analysis import Table
    from lora_ensemble.report import RunResult

_SCORES = {"accuracy": "accuracy", "nll": "NLL", "ece_15": "ECE"}
_DETECTORS = {"auroc_entropy": "entropy", "auroc_mutual_information": "mutual information"}

_NAMES = {"lora": "LoRA ensemble", "deep": "explicit ensemble", "single": "single network"}

COLUMNS = (*_SCORES, "disagreement", *_DETECTORS, "train_seconds", "trained_millions")


def quickstart_table(runs: Sequence[RunResult]) -> Table:
    """Scores and costs, a row per method: mean and standard deviation over seeds."""
    from lora_ensemble.analysis import table

    rows: dict[str, list[dict[str, float]]] = {}
    for run in runs:
        costs = {
            "train_seconds": run.cost["train_seconds"],
            "trained_millions": run.cost["parameters_trained"] / 1e6,
        }
        rows.setdefault(run.method, []).append({**run.scores, **costs})
    return table(rows, COLUMNS, {"train_seconds": "lower", "trained_millions": "lower"})


def sentences(runs: Sequence[RunResult]) -> list[str]:
    """Two comparisons of the LoRA ensemble, its price, and which uncertainty finds letters best."""
    return [_against(runs, "single"), _against(runs, "deep"), _price(runs), _detection(runs)]


def _against(runs: Sequence[RunResult], other: str) -> str:
    parts = []
    for score, name in _SCORES.items():
        ours, theirs = _values(runs, "lora", score), _values(runs, other, score)
        wins = sum((a > b) if score == "accuracy" else (a < b) for a, b in zip(ours, theirs, strict=True))
        means = f"{statistics.fmean(ours):.3f} to {statistics.fmean(theirs):.3f}"
        parts.append(f"{name} {means} (better in {wins} of {len(ours)} seeds)")
    return f"{_named('lora')} against {_named(other)}: {', '.join(parts)}."


def _price(runs: Sequence[RunResult]) -> str:
    time, size = (
        statistics.fmean(_costs(runs, "lora", cost)) / statistics.fmean(_costs(runs, "deep", cost))
        for cost in ("train_seconds", "parameters_trained")
    )
    return f"It trains {size:.0%} of the parameters of the explicit ensemble, in {time:.0%} of its time."


def _detection(runs: Sequence[RunResult]) -> str:
    means = {
        (method, name): statistics.fmean(_values(runs, method, score))
        for method in dict.fromkeys(run.method for run in runs)
        for score, name in _DETECTORS.items()
        if not math.isnan(_values(runs, method, score)[0])  # one network has no mutual information
    }
    method, name = max(means, key=lambda key: means[key])
    return (
        f"Printed letters are told from digits best by the {name} of the {_named(method)} "
        f"(AUROC {means[method, name]:.3f}; entropy of the single network {means['single', 'entropy']:.3f})."
    )


def _named(method: str) -> str:
    return _NAMES.get(method, method)


def _values(runs: Sequence[RunResult], method: str, score: str) -> list[float]:
    """By seed, in the order of the seeds."""
    return [run.scores[score] for run in sorted(runs, key=lambda run: run.seed or 0) if run.method == method]


def _costs(runs: Sequence[RunResult], method: str, cost: str) -> list[float]:
    return [run.cost[cost] for run in runs if run.method == method]
