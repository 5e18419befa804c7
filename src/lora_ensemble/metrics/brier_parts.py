"""Brier score in three parts: reliability - resolution + uncertainty, over 15 bins of each class's probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"brier_reliability": "lower", "brier_resolution": "higher", "brier_uncertainty": None}
LABELS = {name: name.replace("brier_", "Brier, ") for name in BETTER}
_BINS = 15


def score(probs_BC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """Murphy 1973, of each class against the rest, summed over classes. Reliability: squared distance of mean
    probability and frequency in each bin; resolution: of the frequency there and over all; uncertainty: that of the
    labels alone. Their sum is the Brier score but for what varies within a bin."""
    import numpy as np
    import torch
    from scipy.sparse import csr_matrix

    samples, classes = probs_BC.shape
    probs_BC = probs_BC.to(counts_RB)
    bin_BC = torch.bucketize(probs_BC, torch.arange(1, _BINS, dtype=torch.float64) / _BINS)
    b, c = (index.numpy() for index in bin_BC.nonzero(as_tuple=True))  # few; of the first bin, the rest of the sums
    row, counts_BR = c * _BINS + bin_BC[b, c].numpy(), counts_RB.T
    target_BC = torch.nn.functional.one_hot(labels_B, classes).to(counts_RB)
    size_R = counts_RB.sum(1)

    def in_bins(value_BC: Tensor, all_CR: Tensor) -> Tensor:
        matrix = csr_matrix((value_BC[b, c].numpy(), (row, b)), (classes * _BINS, samples))
        sums_CKR = torch.from_numpy(np.asarray(matrix @ counts_BR.numpy())).view(classes, _BINS, -1)
        sums_CKR[:, 0] = all_CR - sums_CKR.sum(1)
        return sums_CKR

    labels_CR = target_BC.T @ counts_BR
    count_CKR = in_bins(torch.ones_like(probs_BC), size_R.expand(classes, -1))
    prob_CKR, label_CKR = in_bins(probs_BC, probs_BC.T @ counts_BR), in_bins(target_BC, labels_CR)
    weight_CKR, share_CR = count_CKR.clamp(min=1), labels_CR / size_R
    reliability_R = ((prob_CKR - label_CKR).square() / weight_CKR).sum((0, 1)) / size_R
    spread_CKR = (label_CKR / weight_CKR - share_CR[:, None]).square() * count_CKR
    return {
        "brier_reliability": reliability_R,
        "brier_resolution": spread_CKR.sum((0, 1)) / size_R,
        "brier_uncertainty": (share_CR * (1 - share_CR)).sum(0),
    }
