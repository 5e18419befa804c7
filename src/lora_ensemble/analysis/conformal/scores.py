"""Nonconformity scores: how badly a label would fit a row, for every class; the higher, the worse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_ensemble.predictions import Predictions


@dataclass(frozen=True)
class Settings:
    """What some scores have to be told beforehand: fixed, or chosen on other rows than those that are fitted on."""

    penalty: float = 0.1
    """raps: added per rank beyond `free_ranks`; saps: the width of every rank after the first."""
    free_ranks: int = 1
    """raps: ranks without a penalty."""


Score = Callable[[Predictions, Tensor, Settings], Tensor]
"""Predictions, (B,) a uniform random number for each row, settings -> (B, C) float64."""


def lac(p: Predictions, _: Tensor, __: Settings) -> Tensor:
    """1 - probability: the smallest sets on average (Sadinle, Lei and Wasserman 2019)."""
    return 1 - p.pooled_probs()


def aps(p: Predictions, uniform_B: Tensor, _: Settings) -> Tensor:
    """The mass of the classes before it and a random part of its own (Romano, Sesia and Candès 2020)."""
    probs_BC = p.pooled_probs()
    return _before(probs_BC)[0] + uniform_B[:, None] * probs_BC


def aps_deterministic(p: Predictions, _: Tensor, __: Settings) -> Tensor:
    """The mass of the classes down to it and its own: somewhat larger sets, without a random number."""
    probs_BC = p.pooled_probs()
    return _before(probs_BC)[0] + probs_BC


def raps(p: Predictions, uniform_B: Tensor, settings: Settings) -> Tensor:
    """aps, with a penalty on ranks beyond the first few (Angelopoulos et al. 2021)."""
    probs_BC = p.pooled_probs()
    before_BC, rank_BC = _before(probs_BC)
    beyond_BC = (rank_BC - settings.free_ranks).clamp(min=0)
    return before_BC + uniform_B[:, None] * probs_BC + settings.penalty * beyond_BC


def saps(p: Predictions, uniform_B: Tensor, settings: Settings) -> Tensor:
    """The highest probability and the rank alone (Huang et al. 2024)."""
    probs_BC = p.pooled_probs()
    rank_BC = _before(probs_BC)[1]
    highest_B1 = probs_BC.max(1, keepdim=True).values
    later_BC = highest_B1 + (rank_BC - 2 + uniform_B[:, None]) * settings.penalty
    return torch.where(rank_BC == 1, uniform_B[:, None] * highest_B1, later_BC)


def top_k(p: Predictions, _: Tensor, __: Settings) -> Tensor:
    """The rank: every set has the same size (Angelopoulos et al. 2021, section 3)."""
    return _before(p.pooled_probs())[1].double()


SCORES: dict[str, Score] = {
    "lac": lac,
    "aps": aps,
    "aps-deterministic": aps_deterministic,
    "raps": raps,
    "saps": saps,
    "top-k": top_k,
}


def _before(probs_BC: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C) mass of the classes that are more probable, and the rank 1 .. C; equals keep the order of the classes."""
    sorted_BC, order_BC = probs_BC.sort(dim=1, descending=True, stable=True)
    before_sorted_BC = sorted_BC.cumsum(1) - sorted_BC
    rank_sorted_BC = torch.arange(1, probs_BC.shape[1] + 1).expand_as(order_BC)
    before_BC = torch.empty_like(probs_BC).scatter_(1, order_BC, before_sorted_BC)
    return before_BC, torch.empty_like(order_BC).scatter_(1, order_BC, rank_sorted_BC)
