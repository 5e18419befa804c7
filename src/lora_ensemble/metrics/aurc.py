"""Selective prediction: what the least confident predictions cost, when they are withheld first (AURC and its kin)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray
    from torch import Tensor

_COVERAGES = (80, 90)
_RISKS = (1, 5)
BETTER = {
    "aurc": "lower",
    "e_aurc": "lower",
    "augrc": "lower",
    **{f"risk_at_coverage_{c}": "lower" for c in _COVERAGES},
    **{f"coverage_at_risk_{r}": "higher" for r in _RISKS},
}
LABELS = {
    "aurc": "AURC",
    "e_aurc": "E-AURC",
    "augrc": "AUGRC",
    **{f"risk_at_coverage_{c}": f"risk at coverage {c} %" for c in _COVERAGES},
    **{f"coverage_at_risk_{r}": f"coverage at risk {r} %" for r in _RISKS},
}
DIGITS = {"aurc": 4, "e_aurc": 4, "augrc": 4}


def prepare(top_BK: Tensor, right_B: Tensor) -> tuple[Any, Any, Any]:
    """Sparse, the G groups of equal confidence that have errors, rising uncertainty: the errors of each (G, B); the
    samples before the end of each less those before the end of the one before it (G, B), and those inside (G, B)."""
    import numpy as np
    from scipy.sparse import csr_matrix

    _, group_B = np.unique((1 - top_BK[:, 0]).numpy(), return_inverse=True)  # rising uncertainty
    wrong = np.flatnonzero(right_B.numpy() == 0)
    at_G, of_B = np.unique(group_B[wrong], return_inverse=True)
    lower_B = np.searchsorted(at_G, group_B, side="left")  # how many of the groups are before a sample's own
    inside = np.flatnonzero(np.isin(group_B, at_G))

    def sums(group: NDArray[Any], samples: NDArray[Any], groups: int) -> Any:
        place = (group, samples)
        return csr_matrix((np.ones(len(group), np.float32), place), (groups, len(group_B)))

    every = np.arange(len(group_B))
    return sums(of_B, wrong, len(at_G)), sums(lower_B, every, len(at_G) + 1), sums(lower_B[inside], inside, len(at_G))


def score(prepared: tuple[Any, Any, Any], counts32_RB: Tensor) -> dict[str, Tensor]:
    """All 0 .. 1. Confidence is the largest probability; equally confident samples count in every order, averaged.

    aurc: mean over k = 1 .. B of the error rate of the k most confident samples (Geifman, Uziel and El-Yaniv 2019); an
    error at rank j (from 0) adds 1/(j + 1) + ... + 1/B, before division by B. e_aurc: less that of the best order,
    errors last. augrc: mean over k of the share of all samples that are errors among the k (Traub et al. 2024).
    risk_at_coverage_80: error rate of the 80 % most confident; coverage_at_risk_5: the largest share that can be kept
    with an error rate of at most 5 %, 0 where there is none.
    """
    import numpy as np
    import torch

    counts_BR = counts32_RB.T.numpy()
    errors_GR, added_GR, inside_GR = (matrix @ counts_BR for matrix in prepared)
    end_GR = added_GR[:-1].cumsum(0, dtype=np.float64)
    values = _areas(errors_GR.astype(np.float64), end_GR - inside_GR, end_GR, int(counts32_RB[0].sum()))
    return {name: torch.from_numpy(np.ascontiguousarray(value_R)) for name, value_R in values.items()}


def _areas(errors_GR: NDArray[Any], start_GR: NDArray[Any], end_GR: NDArray[Any], size: int) -> dict[str, NDArray[Any]]:
    """errors: in each group of equal confidence; start, end: how many samples are before it, and with it."""
    import numpy as np

    added = np.cumsum((1 / np.arange(1, size + 1))[::-1])[::-1]
    cumulated = np.concatenate([[0], np.cumsum(added)])
    width_GR = np.maximum(end_GR - start_GR, 1)
    start, end = start_GR.astype(np.int32), end_GR.astype(np.int32)
    aurc_R = (errors_GR * (cumulated[end] - cumulated[start]) / width_GR).sum(0) / size
    wrong_R = errors_GR.sum(0)
    best_R = (cumulated[-1] - cumulated[size - wrong_R.astype(np.int64)]) / size
    values = {"aurc": aurc_R, "e_aurc": aurc_R - best_R}
    values["augrc"] = (errors_GR * (size - (start_GR + end_GR - 1) / 2)).sum(0) / size**2
    for percent in _COVERAGES:
        kept = -(-percent * size // 100)
        values[f"risk_at_coverage_{percent}"] = (errors_GR * ((kept - start_GR) / width_GR).clip(0, 1)).sum(0) / kept
    for percent in _RISKS:
        values[f"coverage_at_risk_{percent}"] = _coverage(errors_GR, start_GR, end_GR, size, percent / 100)
    return values


def _coverage(
    errors_GR: NDArray[Any], start_GR: NDArray[Any], end_GR: NDArray[Any], size: int, risk: float
) -> NDArray[Any]:
    """The risk falls between groups with errors, and is monotonous within one: it is met last at the end of a run
    without errors, or where it rises to the limit within a group."""
    import numpy as np

    seen_GR = errors_GR.cumsum(0)
    earlier_GR = seen_GR - errors_GR
    rate_GR = errors_GR / np.maximum(end_GR - start_GR, 1)
    crossing_GR = (rate_GR * start_GR - earlier_GR) / np.where(rate_GR > risk, rate_GR - risk, np.inf)
    crossing_GR = np.minimum(np.floor(crossing_GR + 1e-9), end_GR)
    ends_GR = np.where(earlier_GR <= risk * start_GR + 1e-9, np.maximum(start_GR, crossing_GR), 0)
    whole_R = np.where(errors_GR.sum(0) <= risk * size + 1e-9, size, 0)
    largest_R: NDArray[Any] = np.maximum(ends_GR.max(0, initial=0), whole_R) / size
    return largest_R
