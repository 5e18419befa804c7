"""Weights of classes in the loss, from their numbers of training examples."""

from __future__ import annotations

import numpy as np


def class_weights(labels_N: np.ndarray, num_classes: int, kind: str, beta: float) -> np.ndarray | None:
    """Weights (C,), float32, that sum to 1; None for "uniform". A class without examples gets 0. Negative labels are
    ignored.

    With n examples of a class: "ins" 1 / n, "isns" 1 / sqrt(n), "ens" (1 - beta) / (1 - beta^n), the inverse effective
    number of samples (Cui et al. 2019, equation 2).
    """
    if kind == "uniform":
        return None
    counts_C = np.bincount(labels_N[labels_N >= 0], minlength=num_classes).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "ins":
            weights_C = 1 / counts_C
        elif kind == "isns":
            weights_C = 1 / np.sqrt(counts_C)
        else:
            assert kind == "ens", kind
            weights_C = (1 - beta) / (1 - beta**counts_C)
    weights_C = np.where(counts_C > 0, weights_C, 0.0)
    normalised_C: np.ndarray = (weights_C / weights_C.sum()).astype(np.float32)
    return normalised_C
