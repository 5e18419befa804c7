"""Class-wise ECE: calibration error of every class's probability, averaged over classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"ece_classwise": "lower"}
LABELS = {"ece_classwise": "ECE, class-wise"}
_BINS = 15


def score(probs_BC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: for each class |frequency - mean probability| of each of 15 bins of equal width, (lower, upper], weighted
    by its share of the samples; then the mean over classes (Kull et al. 2019, equation 3)."""
    import numpy as np
    import torch
    from scipy.sparse import csr_matrix

    classes = probs_BC.shape[1]
    gap_BC = -probs_BC.to(counts_RB)
    gap_BC[torch.arange(len(labels_B)), labels_B] += 1
    bin_BC = torch.bucketize(probs_BC, torch.arange(1, _BINS, dtype=torch.float64) / _BINS)
    b, c = (index.numpy() for index in bin_BC.nonzero(as_tuple=True))  # few; of the first bin, the rest of the sum
    row = c * _BINS + bin_BC[b, c].numpy()
    matrix = csr_matrix((gap_BC[b, c].numpy(), (row, b)), (classes * _BINS, len(labels_B)))
    gaps_CKR = torch.from_numpy(np.asarray(matrix @ counts_RB.T.numpy())).view(classes, _BINS, -1)
    first_CR = gap_BC.T @ counts_RB.T - gaps_CKR.sum(1)
    total_R = gaps_CKR.abs().sum((0, 1)) + first_CR.abs().sum(0)
    return {"ece_classwise": total_R / (classes * counts_RB.sum(1))}
