"""Predictions of noise around the label, and what a report keeps of them."""

from __future__ import annotations

import torch

from lora_ensemble.predictions import Predictions
from lora_ensemble.report import RunResult, summarise

COST = {
    "train_seconds": 12.5,
    "predict_seconds_per_example": 0.0012,
    "parameters_trained": 4096,
    "parameters_total": 1_250_000,
}


def predictions(
    members: int = 3, samples: int = 60, seed: int = 0, labels: bool = True, spread: float = 1.0
) -> Predictions:
    """Logits that favour the label, with noise of the sample and of the member."""
    generator = torch.Generator().manual_seed(seed)
    labels_B = torch.randint(4, (samples,), generator=generator)
    logits_BC = 2 * torch.nn.functional.one_hot(labels_B, 4) + torch.randn(samples, 4, generator=generator)
    logits_MBC = logits_BC + spread * torch.randn(members, samples, 4, generator=generator)
    return Predictions(
        logits_MBC,
        labels_B if labels else None,
        [f"sample-{b}" for b in range(samples)],
        {"classes": ["ant", "bee", "cat", "dog"]},
    )


def run(method: str, members: int = 3, seed: int = 0, **options) -> RunResult:
    ood = predictions(members, 40, seed + 100, labels=False, spread=3.0)
    return summarise(predictions(members, seed=seed), method, ood=ood, seed=seed, cost=COST, **options)
