"""Calibration test: the p-value of deviations as large as these, were the confidence right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"calibration_p": None}
LABELS = {"calibration_p": "calibration, p-value"}


def prepare(top_BK: Tensor, right_B: Tensor) -> Tensor:
    """(B, 2) surplus of right predictions and its variance, of each sample."""
    import torch

    confidence_B = top_BK[:, 0]
    slope_B = 1 - 2 * confidence_B
    variance_B = slope_B.square() * confidence_B * (1 - confidence_B)
    return torch.stack([(right_B - confidence_B) * slope_B, variance_B], 1)


def score(prepared: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1, two-sided: a small value says that the confidence in the prediction deviates by more than chance.

    Spiegelhalter's z (1986), of the event that the prediction is right; normal for some hundreds of samples. It weighs
    over- against underconfidence and may miss deviations that cancel; `ece_15` does not.
    """
    import torch

    surplus_R, variance_R = (counts_RB @ prepared).T
    z_R = surplus_R.abs() / variance_R.sqrt().clamp(min=torch.finfo(torch.float64).tiny)
    return {"calibration_p": torch.erfc(z_R / 2**0.5)}
