"""OOD detection: AUROC, AUPR and FPR at 95 % of an uncertainty, which should be higher out of distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray
    from torch import Tensor

BETTER = {"auroc": "higher", "aupr": "higher", "fpr95": "lower"}
LABELS = {"auroc": "AUROC", "aupr": "AUPR", "fpr95": "FPR at 95 %"}
COLUMNS = {"auroc_entropy": 60, "auroc_mutual_information": 70}


def score(uncertainty_B: Tensor, ood_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """All 0 .. 1; OOD is the positive class; samples of equal score are never told apart.

    auroc is the probability that an OOD sample scores higher than an in-distribution one, ties counting half; aupr is
    average precision; fpr95 is the share of in-distribution samples at or above the highest threshold that catches
    95 % of the OOD samples. NaN where an uncertainty is, as that of members which never disagree.
    """
    import torch

    if uncertainty_B.isnan().any():
        return {name: torch.full((len(counts_RB),), torch.nan, dtype=torch.float64) for name in BETTER}
    inside = int((~ood_B).sum())
    values_B, counts_BR = uncertainty_B.numpy(), counts_RB.T.numpy()
    values = _measures(values_B[:inside], values_B[inside:], counts_BR[:inside], counts_BR[inside:])
    return {name: values_R.double() for name, values_R in zip(BETTER, values, strict=True)}


def _measures(
    inside_I: NDArray[Any], outside_O: NDArray[Any], counts_IR: NDArray[Any], counts_OR: NDArray[Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """The T different scores out of distribution are the thresholds, rising."""
    import numpy as np

    threshold_T, at_O = np.unique(outside_O, return_inverse=True)
    reached_I = np.searchsorted(threshold_T, inside_I, side="right")  # how many thresholds are not above it
    ties_I = np.searchsorted(threshold_T, inside_I, side="left") < reached_I
    found_TR = _sums(at_O, counts_OR, len(threshold_T))
    up_to_TR = found_TR.cumsum(0)
    below_TR = _sums(reached_I, counts_IR, len(threshold_T) + 1)[:-1].cumsum(0)
    all_I, all_O = (float(counts[:, 0].sum()) for counts in (counts_IR, counts_OR))
    false_TR, true_TR = all_I - below_TR, all_O - up_to_TR + found_TR
    auroc_R = (found_TR * below_TR).sum(0)
    if ties_I.any():
        auroc_R += (found_TR * _sums(reached_I[ties_I] - 1, counts_IR[ties_I], len(threshold_T))).sum(0) / 2
    aupr_R = (found_TR * true_TR / (true_TR + false_TR).clamp(min=1)).sum(0)
    highest_1R = (true_TR / all_O >= 0.95).sum(0, keepdim=True) - 1
    return auroc_R / (all_I * all_O), aupr_R / all_O, false_TR.gather(0, highest_1R)[0] / all_I


def _sums(group_B: NDArray[Any], counts_BR: NDArray[Any], groups: int) -> Tensor:
    """(groups, R): the counts of each group's samples together; exact, as they are whole numbers."""
    import numpy as np
    import torch
    from scipy.sparse import csr_matrix

    ones, columns = np.ones(len(group_B)), np.arange(len(group_B))
    sums = torch.from_numpy(csr_matrix((ones, (group_B, columns)), (groups, len(group_B))) @ counts_BR)
    return sums if counts_BR.shape[1] == 1 else sums.float()  # float32 is twice as fast for many
