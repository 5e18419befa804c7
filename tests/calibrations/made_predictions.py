"""Predictions with a known truth, for the tests of what is fitted to them."""

from __future__ import annotations

import torch

from lora_ensemble.predictions import Predictions


def truth(rows: int, classes: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities (B, C), and labels drawn from them."""
    generator = torch.Generator().manual_seed(seed)
    logs_BC = torch.log_softmax(1.5 * torch.randn(rows, classes, generator=generator, dtype=torch.float64), 1)
    return logs_BC, torch.multinomial(logs_BC.exp(), 1, generator=generator).squeeze(1)


def calibrated_pool(rows: int, members: int = 3, classes: int = 4, seed: int = 0) -> Predictions:
    """Members that differ, whose mean of probabilities is what labels are drawn from."""
    generator = torch.Generator().manual_seed(seed)
    noise_MBC = torch.randn(members, rows, classes, generator=generator)
    logits_MBC = 1.5 * torch.randn(rows, classes, generator=generator) + noise_MBC
    probs_BC = torch.softmax(logits_MBC.double(), -1).mean(0)
    return Predictions(logits_MBC, torch.multinomial(probs_BC, 1, generator=generator).squeeze(1))
