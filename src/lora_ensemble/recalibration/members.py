"""Temperatures on members: each one's logits divided, then their pool sharpened or flattened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from lora_ensemble.recalibration.pool import following, sharpened

if TYPE_CHECKING:
    from torch import Tensor

    from lora_ensemble.predictions import Predictions


def scaled(p: Predictions, temperatures: Sequence[float]) -> Predictions:
    """Logits divided by one temperature for all members, or by one for each."""
    if all(t == 1 for t in temperatures):
        return p
    return replace(p, logits_MBC=p.logits_MBC / torch.tensor(temperatures)[:, None, None])


def with_pool_temperature(p: Predictions, temperature: float) -> Tensor:
    """(M, B, C) logits of the members after a temperature on their pool."""
    return p.logits_MBC if temperature == 1 else following(p, sharpened(p.pooled_probs(), temperature))
