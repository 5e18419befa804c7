"""What was predicted of each class: a confusion matrix, and the scores of a class that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lora_ensemble.predictions import Pooling, Predictions


@dataclass(frozen=True)
class Classes:
    """Counts of labels and predictions, and how uncertain the samples of each class are."""

    names: tuple[str, ...]
    """Of the C classes."""
    confusion: tuple[tuple[int, int, int], ...]
    """(label, prediction, samples) of each cell that is not empty."""
    total_C: tuple[float | None, ...]
    """Mean total uncertainty of the samples of each class, nats; None for a class without samples."""
    epistemic_C: tuple[float | None, ...]
    """Mean epistemic uncertainty of them, nats."""

    @property
    def counts_CC(self) -> np.ndarray:
        """(C, C) samples by label (down) and prediction (across)."""
        counts_CC = np.zeros((len(self.names),) * 2, int)
        for label, predicted, samples in self.confusion:
            counts_CC[label, predicted] = samples
        return counts_CC


def classes_of(p: Predictions, pooling: Pooling = "mean-of-probabilities") -> Classes | None:
    """None without labels."""
    import torch

    labels_B = p.labels_B
    if labels_B is None:
        return None
    size = p.num_classes
    flat, samples = torch.unique(labels_B * size + p.pooled_probs(pooling).argmax(-1), return_counts=True)
    cells = zip(flat.tolist(), samples.tolist(), strict=True)
    rows_C = torch.bincount(labels_B, minlength=size)

    def mean(uncertainty_B: torch.Tensor) -> tuple[float | None, ...]:
        sum_C = torch.bincount(labels_B, uncertainty_B.double(), minlength=size)
        values = zip(sum_C.tolist(), rows_C.tolist(), strict=True)
        return tuple(float(f"{total / n:.5g}") if n else None for total, n in values)

    return Classes(
        names=tuple(str(name) for name in p.meta.get("classes") or range(size)),
        confusion=tuple((cell // size, cell % size, n) for cell, n in cells),
        total_C=mean(p.total_B),
        epistemic_C=mean(p.epistemic_B),
    )
