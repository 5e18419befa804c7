"""Calibration test: the p-value of deviations as large as these, were the confidence right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"calibration_p": None}
LABELS = {"calibration_p": "calibration, p-value"}


def score(probs_BC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1, two-sided: a small value says that the confidence in the prediction deviates by more than chance.

    Spiegelhalter's z (1986), of the event that the prediction is right; normal for some hundreds of samples. It weighs
    over- against underconfidence and may miss deviations that cancel; `ece_15` does not.
    """
    import torch

    confidence_B, predicted_B = probs_BC.to(counts_RB).max(-1)
    slope_B = 1 - 2 * confidence_B
    surplus_R = counts_RB @ (((predicted_B == labels_B).to(counts_RB) - confidence_B) * slope_B)
    variance_R = counts_RB @ (slope_B.square() * confidence_B * (1 - confidence_B))
    z_R = surplus_R.abs() / variance_R.sqrt().clamp(min=torch.finfo(torch.float64).tiny)
    return {"calibration_p": torch.erfc(z_R / 2**0.5)}
