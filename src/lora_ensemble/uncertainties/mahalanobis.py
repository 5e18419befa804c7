"""Squared Mahalanobis distance of the hidden features to the nearest class, mean over members."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def fit(features_MBD: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
    """Of each member the means of the classes that occur (M, K, D), and what whitens their shared covariance
    (M, D, D): Lee et al. 2018, equation 1. Directions without variance are left out."""
    import torch

    features_MBD = features_MBD.double()
    _, class_B, size_K = labels_B.unique(return_inverse=True, return_counts=True)
    sums_MKD = features_MBD.new_zeros(len(features_MBD), len(size_K), features_MBD.shape[2])
    means_MKD = sums_MKD.index_add(1, class_B, features_MBD) / size_K[:, None]
    centred_MBD = features_MBD - means_MKD[:, class_B]
    covariance_MDD = centred_MBD.mT @ centred_MBD / len(labels_B)
    values_MD, vectors_MDD = torch.linalg.eigh(covariance_MDD)
    usable_MD = values_MD > values_MD.amax(-1, keepdim=True) * values_MD.shape[-1] * torch.finfo(torch.float32).eps
    scale_MD = torch.where(usable_MD, values_MD, torch.inf).rsqrt()
    return means_MKD, vectors_MDD * scale_MD[:, None]


def uncertainty(features_MBD: Tensor, fitted: tuple[Tensor, Tensor]) -> Tensor:
    """At least 0; D on average for samples like those of the reference."""
    import torch

    means_MKD, whiten_MDD = fitted
    distance_MBK = torch.cdist(features_MBD.double() @ whiten_MDD, means_MKD @ whiten_MDD)
    return distance_MBK.amin(-1).square().mean(0)
