"""Adaptive ECE: calibration error of the most probable class over 15 bins of equally many samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"ece_adaptive": "lower"}
LABELS = {"ece_adaptive": "ECE, adaptive"}
_BINS = 15


def score(probs_BC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: |accuracy - mean confidence| of each bin, averaged (Nixon et al. 2019, equation 4, of the prediction).

    Every resample has bins of its own. A sample, or samples of equal confidence, on the edge of two bins belong to both
    by their parts, so that no order of samples matters.
    """
    import numpy as np
    import torch

    confidence_B, predicted_B = probs_BC.to(counts_RB).max(-1)
    gap_B = (predicted_B == labels_B).to(counts_RB) - confidence_B
    order_B = torch.from_numpy(np.argsort(confidence_B.numpy(), kind="stable"))
    sorted_B = confidence_B[order_B]
    last_G = torch.cat([sorted_B.diff() > 0, torch.ones(1, dtype=torch.bool)]).nonzero().squeeze(1)  # of equal ones
    ordered_RB = counts_RB.T.index_select(0, order_B).T.contiguous()
    mass_RG = torch.nn.functional.pad(ordered_RB.cumsum(1)[:, last_G], (1, 0))
    gaps_RG = torch.nn.functional.pad((ordered_RB * gap_B[order_B]).cumsum(1)[:, last_G], (1, 0))
    edges_RK = mass_RG[:, -1:] * torch.arange(_BINS + 1, dtype=torch.float64) / _BINS
    right_RK = torch.searchsorted(mass_RG, edges_RK).clamp(min=1, max=len(last_G))
    low_RK, high_RK = mass_RG.gather(1, right_RK - 1), mass_RG.gather(1, right_RK)
    along_RK = (edges_RK - low_RK) / (high_RK - low_RK).clamp(min=1)
    start_RK, end_RK = gaps_RG.gather(1, right_RK - 1), gaps_RG.gather(1, right_RK)
    reached_RK = start_RK + along_RK * (end_RK - start_RK)
    return {"ece_adaptive": reached_RK.diff(dim=1).abs().sum(1) / mass_RG[:, -1]}
