"""Probabilities in place of logits: taken where they are asked for, refused where they are not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lora_ensemble.errors import DataError
from lora_ensemble.predictions.accept import members_of

NEVER = -1000.0
"""The logarithm that stands for a probability of exactly 0: its exponential is 0 in float64, too."""

_SUM = 1e-2  # how far from 1 the probabilities of many classes may sum to in half precision


def log_probs_of(values: Any) -> Tensor:
    """(M, B, C) float32 logarithms of probabilities, of (B, C) one member; `NEVER` for a probability of exactly 0.

    Raises DataError that names the first row with a negative or infinite value or another sum than 1.
    """
    probs_MBC = members_of(values, "probabilities").to(torch.float64)
    bad = ~(probs_MBC >= 0).all(-1) | ~((probs_MBC.sum(-1) - 1).abs() <= _SUM)
    if bool(bad.any()):
        m, b = bad.nonzero()[0].tolist()
        row = probs_MBC[m, b]
        what = f"the probability {row.min():.6g}" if row.min() < 0 else f"probabilities that sum to {row.sum():.6g}"
        raise DataError(f"member {m}, row {b} has {what}: expected at least 0 each, 1 together")
    return probs_MBC.log().clamp(min=NEVER).to(torch.float32)


def are_like_probabilities(logits_MBC: Tensor) -> bool:
    """Whether every row could be one of probabilities: at least 0 each, 1 together."""
    first = logits_MBC[0, :1]  # nearly always enough, and cheap
    return not any(
        not bool((rows.amin() >= 0) & ((rows.sum(-1) - 1).abs() <= _SUM).all()) for rows in (first, logits_MBC)
    )


def check_not_probabilities(logits_MBC: Tensor) -> None:
    """Raises DataError where every row of the logits could be one of probabilities."""
    if are_like_probabilities(logits_MBC):
        raise DataError(
            "these logits look like probabilities: in every row they are at least 0 and sum to 1; "
            "give probabilities to Predictions.from_probs"
        )
