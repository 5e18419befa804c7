"""Class-wise ECE: calibration error of every class's probability, averaged over classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from torch import Tensor

BETTER = {"ece_classwise": "lower"}
LABELS = {"ece_classwise": "ECE, class-wise"}
_BINS = 15


def prepare(probs_BC: Tensor, labels_B: Tensor) -> tuple[Any, ...]:
    """Few probabilities are not in the first bin: sparse matrices (C * 15, B) of these, frequency less probability, and
    one (C, B) of the labels. Of the first bin, the rest of the sums."""
    import numpy as np
    import torch
    from scipy.sparse import csr_matrix

    samples, classes = probs_BC.shape
    flat = np.flatnonzero(probs_BC.numpy() > 1 / _BINS)
    b, c = np.divmod(flat, classes)
    probs = probs_BC.view(-1)[torch.from_numpy(flat)]
    bins = torch.bucketize(probs, torch.arange(1, _BINS, dtype=torch.float64) / _BINS).numpy()
    is_label = labels_B.numpy()[b] == c
    place, shape = (c * _BINS + bins, b), (classes * _BINS, samples)
    labels = csr_matrix((np.ones(samples), (labels_B.numpy(), np.arange(samples))), (classes, samples))
    return probs_BC, labels, csr_matrix((is_label - probs.numpy(), place), shape)


def score(prepared: tuple[Any, ...], counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: for each class |frequency - mean probability| of each of 15 bins of equal width, (lower, upper], weighted
    by its share of the samples; then the mean over classes (Kull et al. 2019, equation 3)."""
    import torch

    probs_BC, labels, matrix = prepared
    counts_BR, classes = counts_RB.T.numpy(), probs_BC.shape[1]
    gaps_CKR = torch.from_numpy(matrix @ counts_BR).view(classes, _BINS, -1)
    first_CR = torch.from_numpy(labels @ counts_BR) - (counts_RB @ probs_BC).T - gaps_CKR.sum(1)
    total_R = gaps_CKR.abs().sum((0, 1)) + first_CR.abs().sum(0)
    return {"ece_classwise": total_R / (classes * counts_RB[0].sum())}
