"""The runs of one method, over its seeds: pooled counts, means, and how they are written."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

from lora_ensemble.analysis.rendering import number
from lora_ensemble.report.curves import Bins, Histogram
from lora_ensemble.report.run_result import RunResult


def score(runs: Sequence[RunResult], name: str, digits: int = 3) -> str:
    """A score's mean over runs, with ± its sample standard deviation where there are several; "-" if undefined."""
    return mean_and_std([run.scores.point.get(name, math.nan) for run in runs], digits)


def auroc(runs: Sequence[RunResult], uncertainty: str, ood: str) -> str:
    """How well an uncertainty tells an OOD set apart, over the runs that have the set, written as `score` does."""
    values = []
    for run in runs:
        sets = run.curves.entropy.outside
        if ood in sets:
            suffix = f"[{ood}]" if len(sets) > 1 else ""
            values.append(run.scores.point.get(f"auroc_{uncertainty}{suffix}", math.nan))
    return mean_and_std(values)


def mean_and_std(values: Sequence[float], digits: int = 3) -> str:
    """ "0.912 ± 0.004"; without ± for one value, "-" if one of them is undefined."""
    known = len(values) > 1 and not any(map(math.isnan, values))
    return number(statistics.fmean(values), statistics.stdev(values) if known else math.nan, digits=digits)


def pooled_bins(bins: Sequence[Bins]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence, accuracy (NaN where empty) and count of each bin, the samples of all seeds together."""
    counts_SK = np.array([b.count_K for b in bins])
    count_K = counts_SK.sum(0)
    with np.errstate(invalid="ignore"):
        confidence_K, accuracy_K = (
            np.nansum(counts_SK * np.array([getattr(b, name) for b in bins], float), 0) / count_K
            for name in ("confidence_K", "accuracy_K")
        )
    return confidence_K, accuracy_K, count_K


def pooled_histogram(histograms: Sequence[Histogram]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Counts of the split and of each OOD set that any seed has, the samples of all seeds together."""
    names = dict.fromkeys(name for h in histograms for name in h.outside)
    outside = {name: np.sum([h.outside[name] for h in histograms if name in h.outside], 0) for name in names}
    return np.sum([h.inside for h in histograms], 0), outside
