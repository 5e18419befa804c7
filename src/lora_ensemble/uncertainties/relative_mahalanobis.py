"""Squared Mahalanobis distance to the nearest class, less that to all samples together, mean over members."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def fit(features_MBD: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of each member the means of the classes that occur (M, K, D) with what whitens their shared covariance (M, D, D),
    and the mean of all (M, 1, D) with what whitens theirs: Ren et al. 2021, section 3. Directions without variance are
    left out."""
    features_MBD = features_MBD.double()
    _, class_B, size_K = labels_B.unique(return_inverse=True, return_counts=True)
    sums_MKD = features_MBD.new_zeros(len(features_MBD), len(size_K), features_MBD.shape[2])
    means_MKD = sums_MKD.index_add(1, class_B, features_MBD) / size_K[:, None]
    mean_M1D = features_MBD.mean(1, keepdim=True)
    within, overall = _whitening(features_MBD - means_MKD[:, class_B]), _whitening(features_MBD - mean_M1D)
    return means_MKD, within, mean_M1D, overall


def uncertainty(features_MBD: Tensor, fitted: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """Any number: what all samples have in common does not count."""
    import torch

    means_MKD, within_MDD, mean_M1D, overall_MDD = fitted
    features_MBD = features_MBD.double()
    distance_MBK = torch.cdist(features_MBD @ within_MDD, means_MKD @ within_MDD).square()
    common_MB = ((features_MBD - mean_M1D) @ overall_MDD).square().sum(-1)
    return (distance_MBK.amin(-1) - common_MB).mean(0)


def _whitening(centred_MBD: Tensor) -> Tensor:
    import torch

    values_MD, vectors_MDD = torch.linalg.eigh(centred_MBD.mT @ centred_MBD / centred_MBD.shape[1])
    usable_MD = values_MD > values_MD.amax(-1, keepdim=True) * values_MD.shape[-1] * torch.finfo(torch.float32).eps
    scale_MD = torch.where(usable_MD, values_MD, torch.inf).rsqrt()
    whiten_MDD: Tensor = vectors_MDD * scale_MD[:, None]
    return whiten_MDD
