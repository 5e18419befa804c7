"""Brier score in three parts: reliability - resolution + uncertainty, over 15 bins of each class's probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from torch import Tensor

BETTER = {"brier_reliability": "lower", "brier_resolution": "higher", "brier_uncertainty": None}
LABELS = {name: name.replace("brier_", "Brier, ") for name in BETTER}
_BINS = 15


def prepare(probs_BC: Tensor, labels_B: Tensor) -> tuple[Any, ...]:
    """Few probabilities are not in the first bin: sparse matrices (C * 15, B) of these (number, sum, labels)
    and one (C, B) of the labels. Of the first bin, the rest of the sums."""
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
    of_bins = [csr_matrix((values, place), shape) for values in (np.ones(len(b)), probs.numpy(), is_label * 1.0)]
    return probs_BC, labels, *of_bins


def score(prepared: tuple[Any, ...], counts_RB: Tensor) -> dict[str, Tensor]:
    """Murphy 1973, of each class against the rest, summed over classes. Reliability: squared distance of mean
    probability and frequency in each bin; resolution: of the frequency there and over all; uncertainty: that of the
    labels alone. Their sum is the Brier score but for what varies within a bin."""
    import torch

    probs_BC, labels, *of_bins = prepared
    counts_BR = counts_RB.T.numpy()
    labels_CR = torch.from_numpy(labels @ counts_BR)
    size = counts_RB[0].sum()
    over_all = size.expand_as(labels_CR), (counts_RB @ probs_BC).T, labels_CR
    sums = []
    for matrix, all_CR in zip(of_bins, over_all, strict=True):
        sums_CKR = torch.from_numpy(matrix @ counts_BR).view(len(all_CR), _BINS, -1)
        sums_CKR[:, 0] = all_CR - sums_CKR.sum(1)
        sums.append(sums_CKR)
    count_CKR, prob_CKR, label_CKR = sums
    weight_CKR, share_CR = count_CKR.clamp(min=1), labels_CR / size
    reliability_R = ((prob_CKR - label_CKR).square() / weight_CKR).sum((0, 1)) / size
    spread_CKR = (label_CKR / weight_CKR - share_CR[:, None]).square() * count_CKR
    return {
        "brier_reliability": reliability_R,
        "brier_resolution": spread_CKR.sum((0, 1)) / size,
        "brier_uncertainty": (share_CR * (1 - share_CR)).sum(0),
    }
