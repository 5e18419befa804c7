"""Penalised softmax regression from log-probabilities to labels: what vector and Dirichlet scaling fit."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

FLOOR = 1e-12
"""Smaller probabilities count as this: their logarithm is an input here."""

Weights = tuple[Tensor, Tensor]
"""A matrix (C, C) and a bias (C,), float64."""


def inputs(pool_BC: Tensor) -> Tensor:
    """(B, C) log-probabilities, none below the logarithm of FLOOR."""
    return pool_BC.clamp(min=FLOOR).log()


def predicted(inputs_BC: Tensor, weights: Weights) -> Tensor:
    """(B, C) probabilities."""
    matrix_CC, bias_C = weights
    return torch.softmax(inputs_BC @ matrix_CC.T + bias_C, 1)


def regression(inputs_BC: Tensor, labels_B: Tensor, off_diagonal: float | None) -> Weights:
    """The maximum a posteriori weights, where a normal prior has its mean at the identity: of precision 1 on diagonal
    and bias, of precision `off_diagonal` elsewhere (None: nothing but the diagonal). Without rows nothing is changed;
    with many the prior does not count. The problem is convex."""
    from scipy.optimize import minimize

    rows, classes = inputs_BC.shape
    eye_CC = torch.eye(classes, dtype=torch.float64)
    free_CC = eye_CC.bool() if off_diagonal is None else torch.ones_like(eye_CC, dtype=torch.bool)
    precision_CC = eye_CC + (off_diagonal or 0) * (1 - eye_CC)
    is_c_BC = torch.nn.functional.one_hot(labels_B, classes).double()

    def unpacked(flat: np.ndarray) -> Weights:
        values = torch.from_numpy(flat)
        matrix_CC = eye_CC.clone()
        matrix_CC[free_CC] += values[:-classes]
        return matrix_CC, values[-classes:]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        matrix_CC, bias_C = unpacked(flat)
        logs_BC = torch.log_softmax(inputs_BC @ matrix_CC.T + bias_C, 1)
        away_CC = matrix_CC - eye_CC
        penalty = (precision_CC * away_CC.square()).sum() + bias_C.square().sum()
        slope_BC = logs_BC.exp() - is_c_BC
        matrix_slope_CC = slope_BC.T @ inputs_BC + precision_CC * away_CC
        gradient = torch.cat([matrix_slope_CC[free_CC], slope_BC.sum(0) + bias_C])
        value = penalty / 2 - logs_BC.gather(1, labels_B[:, None]).sum()
        return float(value) / rows, gradient.numpy() / rows

    start = np.zeros(int(free_CC.sum()) + classes)
    options = {"maxiter": 500, "ftol": 1e-12, "gtol": 1e-8}
    return unpacked(minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x)
