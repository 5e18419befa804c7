"""dyadic_log_score: how well an ensemble predicts several labels together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.predictions import Predictions

_AT_A_TIME = 2**20


def dyadic_log_score(p: Predictions, tau: int = 10, *, pairs: int = 10_000, seed: int = 0) -> float:
    """Joint negative log-likelihood of `tau` labels, divided by tau, in nats; lower is better.

    The labels are those of two samples, each time drawn anew which of the two (dyadic sampling: Osband et al. 2022,
    "Evaluating High-Order Predictive Distributions in Deep Learning", section 4; a sample's label is here the one that
    it has). The expectation over which of both is exact, that over pairs a mean of at most `pairs` random ones; all of
    them where there are no more. NLL for one member. Raises DataError without labels or with one sample,
    ConfigurationError for a tau or a number of pairs below 1.
    """
    if tau < 1 or pairs < 1:
        raise ConfigurationError([f"tau = {tau}, pairs = {pairs}: must be at least 1"])
    if p.labels_B is None or len(p) < 2:
        raise DataError("a joint log-score needs labels, and two samples at least")
    logs_MBC = torch.log_softmax(p.logits_MBC, -1)
    logs_MB = logs_MBC.gather(2, p.labels_B.expand(p.num_members, -1)[..., None]).squeeze(2).double()
    first, second = _pairs(len(p), pairs, seed)
    times_T = torch.arange(tau + 1, dtype=torch.float64)
    binomial = [math.comb(tau, k) / 2**tau for k in range(tau + 1)]
    total = 0.0
    step = max(1, _AT_A_TIME // (p.num_members * (tau + 1)))
    for start in range(0, len(first), step):
        one_MP, other_MP = (logs_MB[:, part[start : start + step]] for part in (first, second))
        joint_MPT = one_MP[..., None] * times_T + other_MP[..., None] * (tau - times_T)
        score_PT = math.log(p.num_members) - joint_MPT.logsumexp(0)
        total += float((score_PT @ torch.tensor(binomial, dtype=torch.float64)).sum())
    return total / len(first) / tau


def _pairs(rows: int, most: int, seed: int) -> tuple[Tensor, Tensor]:
    if rows * (rows - 1) // 2 <= most:
        first, second = torch.triu_indices(rows, rows, 1)
        return first, second
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(rows, (most,), generator=generator)
    return first, (first + torch.randint(1, rows, (most,), generator=generator)) % rows
