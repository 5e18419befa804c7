"""Top-5 ECE: calibration error of the event that the label is among the five most probable classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"ece_top_5": "lower"}
LABELS = {"ece_top_5": "ECE, top 5"}
_BINS = 15


def prepare(top_BK: Tensor, probs_BC: Tensor, label_probs_B: Tensor, labels_B: Tensor) -> Tensor:
    """(B, 15): whether the label is inside less the probability of the five, each in its bin. Of classes that are as
    probable as the fifth, the first ones are inside."""
    import torch

    confidence_B = top_BK.sum(1).clamp(max=1)
    inside_B = label_probs_B > top_BK[:, -1]
    at_the_edge = (label_probs_B == top_BK[:, -1]).nonzero().squeeze(1)
    edge_BC, edge_labels_B1 = probs_BC[at_the_edge], labels_B[at_the_edge, None]
    own_B1 = label_probs_B[at_the_edge, None]
    before_BC = (edge_BC == own_B1) & (torch.arange(edge_BC.shape[1]) < edge_labels_B1)
    inside_B[at_the_edge] = ((edge_BC > own_B1) | before_BC).sum(1) < 5
    bin_B = torch.bucketize(confidence_B, torch.arange(1, _BINS, dtype=torch.float64) / _BINS)
    gap_B = inside_B.double() - confidence_B
    return torch.zeros(len(bin_B), _BINS, dtype=torch.float64).scatter_(1, bin_B[:, None], gap_B[:, None])


def score(prepared: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: |share inside - mean probability of the five| of each of 15 bins of equal width, (lower, upper], weighted
    by its share of the samples. 0 for up to five classes."""
    return {"ece_top_5": (counts_RB @ prepared).abs().sum(1) / counts_RB[0].sum()}
