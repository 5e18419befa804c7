"""member_pairs: how different members are from each other, in what they predict and in where they are wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_ensemble.predictions import Predictions

_AT_A_TIME = 2**19

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class MemberPairs:
    """Symmetric matrices over members, as tuples of rows. NaN where a value is not defined."""

    disagreement_MM: Matrix
    """0 .. 1: share of the samples on which two members predict different classes."""
    divergence_MM: Matrix
    """0 .. ln 2 nats: Jensen-Shannon divergence of two members' probabilities, mean over samples (Lin 1991)."""
    error_correlation_MM: Matrix | None
    """-1 .. 1: Pearson correlation of being wrong; None without labels, NaN for a member that is never or always wrong.
    Errors that are uncorrelated are what pooling removes."""

    def mean_of(self, name: str) -> float:
        """The mean of a matrix over pairs of different members; NaN for one member."""
        matrix = getattr(self, name)
        size = len(matrix)
        pairs = [matrix[i][j] for i in range(size) for j in range(i) if not math.isnan(matrix[i][j])]
        return math.fsum(pairs) / len(pairs) if pairs else math.nan


def member_pairs(p: Predictions) -> MemberPairs:
    """Of every pair of members."""
    classes_MB = p.logits_MBC.argmax(-1)
    M = p.num_members
    disagreement_MM = torch.zeros(M, M, dtype=torch.float64)
    divergence_MM = torch.zeros(M, M, dtype=torch.float64)
    step = max(1, _AT_A_TIME // (M * p.num_classes))
    for start in range(0, len(p), step):
        probs_MBC = torch.softmax(p.logits_MBC[:, start : start + step].double(), -1)
        entropy_M = -torch.special.xlogy(probs_MBC, probs_MBC).sum((1, 2))
        for m in range(M):
            middle_MBC = (probs_MBC + probs_MBC[m]) / 2
            of_middle_M = -torch.special.xlogy(middle_MBC, middle_MBC).sum((1, 2))
            divergence_MM[m] += of_middle_M - (entropy_M + entropy_M[m]) / 2
    for m in range(M):
        disagreement_MM[m] = (classes_MB != classes_MB[m]).double().mean(1)
    divergence_MM = (divergence_MM / len(p)).clamp(min=0)
    divergence_MM.fill_diagonal_(0)  # up to rounding
    errors = None if p.labels_B is None else _matrix(_correlation((classes_MB != p.labels_B).double()))
    return MemberPairs(_matrix(disagreement_MM), _matrix(divergence_MM), errors)


def _correlation(wrong_MB: Tensor) -> Tensor:
    centred_MB = wrong_MB - wrong_MB.mean(1, keepdim=True)
    covariance_MM = centred_MB @ centred_MB.T
    deviation_M = covariance_MM.diagonal().sqrt()
    scale_MM = deviation_M[:, None] * deviation_M
    return torch.where(scale_MM > 0, covariance_MM / scale_MM, math.nan)


def _matrix(values_MM: Tensor) -> Matrix:
    return tuple(tuple(row) for row in values_MM.tolist())
