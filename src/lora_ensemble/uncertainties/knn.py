"""Distance of the hidden features to the 50th nearest of the reference, mean over members."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

K = 50


def fit(features_MBD: Tensor) -> Tensor:
    """(M, N, D) features of length 1."""
    from torch.nn.functional import normalize

    return normalize(features_MBD, dim=-1)


def uncertainty(features_MBD: Tensor, fitted: Tensor) -> Tensor:
    """0 .. 2, between features of length 1 (Sun et al. 2022, section 3); of a reference of fewer, the farthest."""
    import torch
    from torch.nn.functional import normalize

    distance_MBN = torch.cdist(normalize(features_MBD, dim=-1), fitted, compute_mode="donot_use_mm_for_euclid_dist")
    return distance_MBN.kthvalue(min(K, fitted.shape[1]), dim=-1).values.double().mean(0)
