"""SWAG: a Gaussian through the weights that the optimiser visits, diagonal and low rank.

Source: Maddox et al., "A Simple Baseline for Bayesian Uncertainty in Deep Learning", NeurIPS 2019, over the
weights that a LoRA network trains.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lora_ensemble.engine.hooks import Rows
from lora_ensemble.engine.initialisation import member_generator
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.sampled import Posterior, SampledEnsemble
from lora_ensemble.errors import ConfigurationError


class Swag(Posterior):
    """N(mean, scale * (diag / 2 + D D^T / (2 (K - 1)))): mean and diag of the weights that were taken, D their last K
    deviations from the mean so far.

    taken: how many are taken, at equal distances, after a share `start` of the steps, the last one at the end.
    """

    mean: Tensor
    square: Tensor
    deviations: Tensor
    count: Tensor

    def __init__(self, numbers: int, taken: int, rank: int, start: float, scale: float):
        super().__init__()
        self.taken, self.start, self.scale = taken, start, scale
        for name, shape in (("mean", (numbers,)), ("square", (numbers,)), ("deviations", (rank, numbers))):
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("count", torch.tensor(0))

    def begin(self, ensemble: LoraEnsemble, rows: int, steps: int) -> None:
        if len(self.moments(steps)) < self.taken:
            raise ConfigurationError(
                [
                    f"method.taken = {self.taken}: there are only {steps - int(self.start * steps)} of {steps} steps "
                    f"after method.start = {self.start}"
                ]
            )

    def moments(self, steps: int) -> set[int]:
        """The steps after which weights are taken."""
        first = int(self.start * steps)
        return {first + (i + 1) * (steps - first) // self.taken for i in range(self.taken)} - {first}

    def on_step_end(self, ensemble: LoraEnsemble, step: int, steps: int) -> None:
        assert isinstance(ensemble, SampledEnsemble)
        if step in self.moments(steps):
            self.take(torch.cat([p.detach().float().flatten() for _, p in ensemble.network_parameters()]))

    def take(self, weights: Tensor) -> None:
        """One more point (numbers,) of the path."""
        n = int(self.count)
        self.mean.mul_(n / (n + 1)).add_(weights, alpha=1 / (n + 1))
        self.square.mul_(n / (n + 1)).add_(weights.square(), alpha=1 / (n + 1))
        self.deviations[n % len(self.deviations)] = weights - self.mean
        self.count += 1

    def sample(self, diagonal: Tensor, low_rank: Tensor) -> Tensor:
        """mean + sqrt(scale / 2) (sqrt(diag) z1 + D^T z2 / sqrt(K - 1)) for z1 (numbers,) and z2 (K,)."""
        K = min(int(self.count), len(self.deviations))
        variance = (self.square - self.mean.square()).clamp(min=0)
        noise = variance.sqrt() * diagonal + self.deviations[:K].T @ low_rank[:K] / math.sqrt(max(K - 1, 1))
        return self.mean + math.sqrt(self.scale / 2) * noise

    def draw(self, ensemble: LoraEnsemble, rows: Rows) -> None:
        assert isinstance(ensemble, SampledEnsemble)
        if not self.count:
            raise ConfigurationError(["method swag: no weights were taken; train to the end first"])
        c, named = ensemble.config, ensemble.network_parameters()
        shared = ensemble.shared_names()
        for m in range(ensemble.members):
            generator = member_generator(c.seed, c.first_member + m, "swag")
            z1, z2 = (torch.randn(n, generator=generator).to(self.mean) for n in self.deviations.shape[::-1])
            flat, at = self.sample(z1, z2), 0
            for name, parameter in named:
                size = parameter.numel() if name in shared else parameter[0].numel()
                part = (self.mean if name in shared else flat)[at : at + size]
                where = parameter.data if name in shared else parameter.data[m]
                where.copy_(part.view_as(where))
                at += size
