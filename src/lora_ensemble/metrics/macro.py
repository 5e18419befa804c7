"""Macro F1, precision and recall: computed per class, averaged over classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"f1_macro": "higher", "precision_macro": "higher", "recall_macro": "higher"}
LABELS = {"f1_macro": "macro F1", "precision_macro": "macro precision", "recall_macro": "macro recall"}


def score(probs_BC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1. A ratio with denominator 0 counts as 0. The mean is over the classes that occur among labels or
    predictions, as in scikit-learn; in a resample, those that occur there."""
    zeros_RC = counts_RB.new_zeros(len(counts_RB), probs_BC.shape[1])
    predicted_B = probs_BC.argmax(-1)
    labels_RC = zeros_RC.index_add(1, labels_B, counts_RB)
    guesses_RC = zeros_RC.index_add(1, predicted_B, counts_RB)
    hits_RC = zeros_RC.index_add(1, labels_B, counts_RB * (predicted_B == labels_B))
    classes_R = ((labels_RC + guesses_RC) > 0).sum(1)

    def mean_ratio(numerator_RC: Tensor, denominator_RC: Tensor) -> Tensor:
        return (numerator_RC / denominator_RC.clamp(min=1)).sum(1) / classes_R

    return {
        "f1_macro": mean_ratio(2 * hits_RC, labels_RC + guesses_RC),
        "precision_macro": mean_ratio(hits_RC, guesses_RC),
        "recall_macro": mean_ratio(hits_RC, labels_RC),
    }
