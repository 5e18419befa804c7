"""Kullback-Leibler divergence between two members' predictions, averaged over pairs, in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MEMBERS = 2


def uncertainty(log_probs_MBC: Tensor, probs_MBC: Tensor) -> Tensor:
    """0 for equal members, unbounded. Symmetrised, (KL(p|q) + KL(q|p)) / 2 for each pair.

    All pairs at once: their mean equals the sum over classes of the sample covariance, over members, of p and log p.
    """
    import torch

    members = len(log_probs_MBC)
    centred_MBC = log_probs_MBC - log_probs_MBC.mean(0)
    covariance_B = torch.einsum("mbc,mbc->b", probs_MBC - probs_MBC.mean(0), centred_MBC)
    return covariance_B.double().clamp(min=0) / max(members - 1, 1)
