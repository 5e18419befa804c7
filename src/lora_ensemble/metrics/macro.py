"""Macro F1, precision and recall: computed per class, averaged over classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from torch import Tensor

BETTER = {"f1_macro": "higher", "precision_macro": "higher", "recall_macro": "higher"}
LABELS = {"f1_macro": "macro F1", "precision_macro": "macro precision", "recall_macro": "macro recall"}


def prepare(predicted_B: Tensor, labels_B: Tensor, right_B: Tensor, probs_BC: Tensor) -> Any:
    """Sparse (3 C, B): hits of each class, then labels that were missed, then wrong predictions."""
    import numpy as np
    from scipy.sparse import csr_matrix

    classes = probs_BC.shape[1]
    hit, wrong = (right_B > 0).nonzero().squeeze(1), (right_B == 0).nonzero().squeeze(1)
    rows = [labels_B[hit], classes + labels_B[wrong], 2 * classes + predicted_B[wrong]]
    place = np.concatenate([row.numpy() for row in rows]), np.concatenate([hit.numpy(), wrong.numpy(), wrong.numpy()])
    return csr_matrix((np.ones(len(place[0]), np.float32), place), (3 * classes, len(labels_B)))


def score(prepared: Any, counts32_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1. A ratio with denominator 0 counts as 0. The mean is over the classes that occur among labels or
    predictions, as in scikit-learn; in a resample, those that occur there."""
    import torch

    sums = torch.from_numpy(prepared @ counts32_RB.T.numpy()).double()
    hits_CR, missed_CR, wrong_CR = sums.view(3, -1, sums.shape[1])
    labels_CR, guesses_CR = hits_CR + missed_CR, hits_CR + wrong_CR
    classes_R = ((labels_CR + guesses_CR) > 0).sum(0)

    def mean_ratio(numerator_CR: Tensor, denominator_CR: Tensor) -> Tensor:
        mean_R: Tensor = (numerator_CR / denominator_CR.clamp(min=1)).sum(0) / classes_R
        return mean_R

    return {
        "f1_macro": mean_ratio(2 * hits_CR, labels_CR + guesses_CR),
        "precision_macro": mean_ratio(hits_CR, guesses_CR),
        "recall_macro": mean_ratio(hits_CR, labels_CR),
    }
