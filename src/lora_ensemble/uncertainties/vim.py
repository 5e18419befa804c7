"""Virtual-logit matching: features outside the principal space of the reference, against the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def fit(features_MBD: Tensor, logits_MBC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each member the origin (M, D), the directions outside the principal space (M, D, D - K) and the scale (M,):
    Wang et al. 2022, section 4. Each head is recovered from features and logits by least squares, which is exact where
    logits are a linear function of the features; K is half of D, 512 from 768 on, 1000 from 2048 on, as published."""
    import torch

    features_MBD, logits_MBC = features_MBD.double(), logits_MBC.double()
    _, rows, width = features_MBD.shape
    ones_MB1 = features_MBD.new_ones(len(features_MBD), rows, 1)
    head_MEC = torch.linalg.pinv(torch.cat([features_MBD, ones_MB1], -1)) @ logits_MBC
    weight_MCD, bias_MC1 = head_MEC[:, :-1].mT, head_MEC[:, -1, :, None]
    origin_MD = -(torch.linalg.pinv(weight_MCD) @ bias_MC1).squeeze(-1)
    centred_MBD = features_MBD - origin_MD[:, None]
    kept = 1000 if width >= 2048 else 512 if width >= 768 else width // 2
    _, vectors_MDD = torch.linalg.eigh(centred_MBD.mT @ centred_MBD / rows)  # in rising order
    outside_MDR = vectors_MDD[..., : width - kept]
    residual_MB = (centred_MBD @ outside_MDR).norm(dim=-1)
    scale_M = logits_MBC.amax(-1).sum(-1) / residual_MB.sum(-1).clamp(min=torch.finfo(torch.float32).tiny)
    return origin_MD, outside_MDR, scale_M


def uncertainty(features_MBD: Tensor, logits_MBC: Tensor, fitted: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Any number: the virtual logit less the log of the sum of exponentials of the logits, mean over members."""
    origin_MD, outside_MDR, scale_M = fitted
    residual_MB: Tensor = ((features_MBD.double() - origin_MD[:, None]) @ outside_MDR).norm(dim=-1)
    uncertainty_MB = scale_M[:, None] * residual_MB - logits_MBC.double().logsumexp(-1)
    return uncertainty_MB.mean(0)
