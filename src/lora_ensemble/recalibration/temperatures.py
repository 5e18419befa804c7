"""The temperature at which labels are most probable: of one network, of a pool, of a pool's members."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

RANGE = (0.01, 100.0)
"""Temperatures that are considered."""
_POINTS = 33
"""Of the grid: a third apart, finer than the valleys of a likelihood of real logits are wide."""


def best_temperature(logits_MBC: Tensor, labels_B: Tensor, warn: bool = True) -> float:
    """The temperature, one for all members, that minimises the NLL of their mean of probabilities; `RANGE` is searched.

    Of several minima the deepest. Where the lower end is no worse than any (members are right, or right enough, on
    every row: at a temperature near 0 a later error would be a certain one), it is 1, and a warning says so if `warn`.
    What knows less than nothing gets the upper end: uniform is the right answer then.
    """
    nll = _negative_log_likelihood(logits_MBC.double(), labels_B)
    found = _deepest_minimum(nll)
    if found is not None:
        return found
    if warn:
        right = bool((logits_MBC.softmax(2).mean(0).argmax(1) == labels_B).all())
        why = "they are all predicted right" if right else "the nearer to 0, the better"
        warnings.warn(
            f"{len(labels_B)} validation samples fit no temperature ({why}): it stays 1; more of them would help",
            stacklevel=3,
        )
    return 1.0


def _deepest_minimum(nll: Callable[[float], float]) -> float | None:
    """Over log T: a grid, as a pool may have several minima, then Brent's method around the best point. None: the lower
    end of the range is no worse."""
    from scipy.optimize import minimize_scalar

    grid = torch.linspace(math.log(RANGE[0]), math.log(RANGE[1]), _POINTS, dtype=torch.float64).tolist()
    values = [nll(log_t) for log_t in grid]
    k = values.index(min(values))
    bounds = grid[max(k - 1, 0)], grid[min(k + 1, _POINTS - 1)]
    found = minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return None if values[0] <= found.fun + 1e-9 else math.exp(found.x)


def _negative_log_likelihood(logits_MBC: Tensor, labels_B: Tensor) -> Callable[[float], float]:
    """As a function of log T; up to ln M, of the mean over members of the label's probability."""
    # Above the highest logit of each row, so that nothing overflows at any temperature.
    shifted_MBC = logits_MBC - logits_MBC.amax(2, keepdim=True)
    label_logits_MB = shifted_MBC.gather(2, labels_B.expand(len(shifted_MBC), -1)[..., None]).squeeze(2)
    scaled_BC = torch.empty_like(shifted_MBC[0])

    def nll(log_t: float) -> float:
        log_probs = []
        for logits_BC, label_logits_B in zip(shifted_MBC, label_logits_MB, strict=True):
            torch.mul(logits_BC, math.exp(-log_t), out=scaled_BC)
            log_probs.append(label_logits_B * math.exp(-log_t) - scaled_BC.exp_().sum(1).log())
        return -float(torch.stack(log_probs).logsumexp(0).mean())

    return nll
