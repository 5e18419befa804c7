"""Divergence: Kullback-Leibler divergence between two members' predictions, averaged over pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"divergence": None}


def score(log_probs_MBC: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """Nats, 0 for equal members, unbounded; NaN for one member, which has no pairs.

    Symmetrised, (KL(p|q) + KL(q|p)) / 2 for each pair and sample; the mean over pairs and samples does not
    depend on the size of a batch. All pairs at once: their mean equals the sum over classes of the sample
    covariance, over members, of p and log p.
    """
    members = log_probs_MBC.shape[0]
    centred_MBC = log_probs_MBC - log_probs_MBC.mean(0)
    probs_MBC = log_probs_MBC.exp()
    covariance_BC = ((probs_MBC - probs_MBC.mean(0)) * centred_MBC).sum(0).to(counts_RB)
    divergence_B = covariance_BC.sum(1) / (members - 1)
    return {"divergence": counts_RB @ divergence_B / counts_RB.sum(1)}
