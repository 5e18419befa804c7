"""Members that repel one another in function space: their answers to the same batch are driven apart.

Source: D'Angelo & Fortuin, "Repulsive Deep Ensembles are Bayesian", NeurIPS 2021: to the gradient of the log-posterior
with respect to f_i it adds - sum_j grad_i k(f_i, f_j) / sum_j k(f_i, f_j), the gradient of - log sum_j k(f_i, f_j) with
f_j held fast.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_density(logits: Tensor, bandwidth: float | None = None) -> Tensor:
    """log of the mean over j of k(f_i, f_j), (M,), for k = exp(- ||f_i - f_j||^2 / h), of the members' logits (M, ...),
    each around its mean over the classes, which no prediction depends on. Gradients flow through f_i alone.

    bandwidth: h; None is the median of the squared distances over log M, as in SVGD (Liu & Wang, NeurIPS 2016).
    """
    M = len(logits)
    f = (logits - logits.mean(-1, keepdim=True)).float().flatten(1)
    squared_MM = (f[:, None] - f.detach()[None]).square().sum(-1)
    if bandwidth is None:
        others = squared_MM.detach()[~torch.eye(M, dtype=torch.bool, device=f.device)]
        h = others.median().clamp(min=torch.finfo(f.dtype).tiny) / math.log(max(M, 2))
    else:
        h = torch.as_tensor(bandwidth, dtype=f.dtype, device=f.device)
    return torch.logsumexp(-squared_MM / h, 1) - math.log(M)
