"""Members that follow their pool: where a calibration maps the mean of probabilities, each member is moved with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lora_ensemble.predictions import Predictions

SMALLEST = 1e-300
"""What a probability of 0 counts as where its logarithm is taken; as in the NLL."""


def following(p: Predictions, pool_BC: Tensor) -> Tensor:
    """(M, B, C) logits of members whose mean of probabilities is `pool_BC`, (B, C) float64, row by row.

    In each row the same mass is moved for all members: of a class that is to lose, every member gives up the same
    share of its probability; what a member has given up goes to the classes that are to gain, in proportion to what
    they lack. That is the least mass that turns the old pool into the new one (the maximal coupling of the two), and a
    common channel from old labels to new: hence the mean of the members is the new pool exactly, total = aleatoric +
    epistemic holds of it, and the epistemic part never grows (data processing inequality). A pool that stays leaves
    its members as they are.
    """
    mean_BC = p.pooled_probs()
    kept_BC = torch.where(mean_BC > pool_BC, pool_BC / mean_BC, 1.0)
    lack_BC = (pool_BC - mean_BC).clamp(min=0)
    gains_BC = lack_BC / lack_BC.sum(1, keepdim=True).clamp(min=SMALLEST)
    out_MBC = torch.empty_like(p.logits_MBC)
    for logits_BC, out_BC in zip(p.logits_MBC, out_MBC, strict=True):  # one member at a time bounds the memory
        probs_BC = torch.softmax(logits_BC.double(), -1)
        stays_BC = probs_BC * kept_BC
        given_B1 = (probs_BC - stays_BC).sum(1, keepdim=True)
        out_BC.copy_(log(stays_BC + given_B1 * gains_BC))
    return out_MBC


def log(probs_BC: Tensor) -> Tensor:
    """Finite logarithms of probabilities that may be 0."""
    return probs_BC.clamp(min=SMALLEST).log()


def sharpened(pool_BC: Tensor, temperature: float) -> Tensor:
    """(B, C): the pool to the power of 1 / temperature, normalised."""
    return pool_BC if temperature == 1 else torch.softmax(log(pool_BC) / temperature, 1)


def pool_temperature(pool_BC: Tensor, labels_B: Tensor) -> float:
    """The temperature for `sharpened` that lowers the NLL of the labels; 1 where none does."""
    from lora_ensemble.recalibration.temperatures import best_temperature

    found = best_temperature(log(pool_BC)[None], labels_B, warn=False)
    gain = nll(pool_BC, labels_B) - nll(sharpened(pool_BC, found), labels_B)
    return found if gain > 1e-6 else 1.0


def nll(pool_BC: Tensor, labels_B: Tensor) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    return -float(log(pool_BC.gather(1, labels_B[:, None])).mean())
