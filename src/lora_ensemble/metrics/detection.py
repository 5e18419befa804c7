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


def prepare(uncertainty_B: Tensor, ood_B: Tensor) -> tuple[Any, Any, Any] | None:
    """Sparse, of the T different scores out of distribution, rising, as thresholds: the OOD samples of each (T, O); the
    samples of the split below each but not the one before it (T + 1, I); those that tie with it (T, I), if any do."""
    import numpy as np
    from scipy.sparse import csr_matrix

    if uncertainty_B.isnan().any():
        return None
    inside = int((~ood_B).sum())
    inside_I, outside_O = uncertainty_B[:inside].numpy(), uncertainty_B[inside:].numpy()
    threshold_T, at_O = np.unique(outside_O, return_inverse=True)
    order_I = np.argsort(inside_I)
    reached_I = np.searchsorted(threshold_T, inside_I[order_I], side="right")  # how many are not above it
    tied_I = threshold_T[reached_I - 1] == inside_I[order_I]

    def grouped(group: NDArray[Any], samples: NDArray[Any], groups: int, size: int) -> Any:
        values = np.ones(len(group), np.float32)
        return csr_matrix((values, samples, np.searchsorted(group, np.arange(groups + 1))), (groups, size))

    order_O = np.argsort(at_O, kind="stable")
    found = grouped(at_O[order_O], order_O, len(threshold_T), len(outside_O))
    below = grouped(reached_I, order_I, len(threshold_T) + 1, inside)
    tied = grouped(reached_I[tied_I] - 1, order_I[tied_I], len(threshold_T), inside) if tied_I.any() else None
    return found, below, tied


def score(prepared: tuple[Any, Any, Any] | None, counts32_RB: Tensor) -> dict[str, Tensor]:
    """All 0 .. 1; OOD is the positive class; samples of equal score are never told apart.

    auroc is the probability that an OOD sample scores higher than an in-distribution one, ties counting half; aupr is
    average precision; fpr95 is the share of in-distribution samples at or above the highest threshold that catches
    95 % of the OOD samples. NaN where an uncertainty is, as that of members which never disagree.
    """
    import torch

    if prepared is None:
        return {name: torch.full((len(counts32_RB),), torch.nan, dtype=torch.float64) for name in BETTER}
    inside = prepared[1].shape[1]
    counts_BR = counts32_RB.T if len(counts32_RB) > 1 else counts32_RB.T.double()
    return dict(zip(BETTER, _measures(*prepared, counts_BR[:inside].numpy(), counts_BR[inside:].numpy()), strict=True))


def _measures(
    found: Any, below: Any, tied: Any, counts_IR: NDArray[Any], counts_OR: NDArray[Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """Counts are whole numbers, exact in float32, which is twice as fast for many; one row comes in float64."""
    import torch

    found_TR, below_TR = torch.from_numpy(found @ counts_OR), torch.from_numpy(below @ counts_IR)[:-1].cumsum_(0)
    all_I, all_O = float(counts_IR[:, 0].sum()), float(counts_OR[:, 0].sum())
    true_TR = all_O - found_TR.cumsum(0) + found_TR
    ahead_R = (found_TR * below_TR).sum(0)
    if tied is not None:
        ahead_R += (found_TR * torch.from_numpy(tied @ counts_IR)).sum(0) / 2
    highest_1R = (true_TR >= 0.95 * all_O).sum(0, keepdim=True) - 1
    false_TR = below_TR.neg_().add_(all_I)
    false_positive_R = false_TR.gather(0, highest_1R)[0].double() / all_I
    precision_TR = true_TR / false_TR.add_(true_TR).clamp_(min=1)
    aupr_R = (found_TR * precision_TR).sum(0).double() / all_O
    return ahead_R.double() / (all_I * all_O), aupr_R, false_positive_R
