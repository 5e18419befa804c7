"""Smooth ECE: calibration error without bins, at the width of smoothing that equals the error."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from torch import Tensor

BETTER = {"smooth_ece": "lower"}
LABELS = {"smooth_ece": "smooth ECE"}
_GRID = 512


def prepare(top_BK: Tensor, right_B: Tensor) -> Any:
    """Sparse (512, B): right or not less confidence, shared between the two nearest points of the grid."""
    import numpy as np
    from scipy.sparse import csr_matrix

    confidence_B = top_BK[:, 0].numpy()
    gap_B = right_B.numpy() - confidence_B
    place_B = (confidence_B * _GRID - 0.5).clip(0, _GRID - 1)
    left_B = place_B.astype(int).clip(max=_GRID - 2)
    rows, columns = np.concatenate([left_B, left_B + 1]), np.tile(np.arange(len(gap_B)), 2)
    weights = np.concatenate([(1 - (place_B - left_B)) * gap_B, (place_B - left_B) * gap_B])
    return csr_matrix((weights, (rows, columns)), (_GRID, len(gap_B)))


def score(prepared: Any, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: mean of |smoothed deviation| over confidences (Blasiok and Nakkiran 2023): smoothed by a Gaussian that
    is reflected at 0 and 1, of the width that equals the error. On a grid of 512."""
    import numpy as np
    import torch
    from scipy.fft import dct, idct

    sums_GR = prepared @ counts_RB.T.numpy()
    waves_GR = dct(sums_GR / float(counts_RB[0].sum()), axis=0, norm="ortho")
    frequency_G1 = (np.pi * np.arange(_GRID))[:, None]
    low_R, high_R = np.zeros(len(counts_RB)), np.ones(len(counts_RB))
    for _ in range(20):  # the error falls as the width grows
        width_R = (low_R + high_R) / 2
        smooth_GR = idct(waves_GR * np.exp(-((frequency_G1 * width_R) ** 2) / 2), axis=0, norm="ortho")
        above_R = np.abs(smooth_GR).sum(0) > width_R
        low_R, high_R = np.where(above_R, width_R, low_R), np.where(above_R, high_R, width_R)
    return {"smooth_ece": torch.from_numpy((low_R + high_R) / 2)}
