"""The layer of BLoB: a LoRA layer whose A is a Gaussian, sampled in training by flipout.

Source: Wang et al., "BLoB: Bayesian Low-Rank Adaptation by Backpropagation for Large Language Models", arXiv
2406.11675.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_ensemble.engine.initialisation import Start
from lora_ensemble.engine.layers.lora import MemberLinear

START = 0.05
"""G starts from U(START / sqrt(2), START), as in the authors' code."""


class BlobLinear(MemberLinear):
    """q(A) = N(lora_A, (G^2)^2), element by element, with lora_G (M, S*R, in); B is a plain matrix. In evaluation A is
    its mean. lora_G: None once the members are samples."""

    kind = "blob"

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.lora_G: nn.Parameter | None = nn.Parameter(torch.empty_like(self.lora_A))

    def draw(self, member: int, generator: torch.Generator, start: Start) -> None:
        super().draw(member, generator, start)
        if self.lora_G is not None:
            drawn = torch.rand(self.lora_G.shape[1:], generator=generator)
            self.lora_G.data[member].copy_(START * (math.sqrt(0.5) + (1 - math.sqrt(0.5)) * drawn))

    def adapted(self, x: Tensor) -> Tensor:
        y = super().adapted(x)
        return y + self._noise(x, y).view_as(y) if self.training and self.lora_G is not None else y

    def _noise(self, x: Tensor, y: Tensor) -> Tensor:
        """scale * ((x * r) (G^2 * E)^T * s) B^T: one E per member and pass, signs r and s of their own per token, which
        makes the noise of the rows independent (flipout, Wen et al., ICLR 2018)."""
        assert self.lora_G is not None
        deviation, B = self.state.take(self.lora_G).square(), self._expanded_B(self.state.take(self.lora_B))
        rows = self.state.rows(F.dropout(x, self.dropout) if self.dropout else x).to(deviation.dtype)
        low = torch.bmm(rows * _signs(rows), (deviation * torch.randn_like(deviation)).transpose(1, 2))
        return (self.scale * torch.bmm(low * _signs(low), B.transpose(1, 2))).to(y.dtype)

    def divergence_M(self, members: range, deviation: float) -> Tensor:
        """KL(q(A) || N(0, deviation^2)) of some members, (len(members),), in nats."""
        assert self.lora_G is not None
        part = slice(members.start, members.stop)
        mean, variance = self.lora_A[part], self.lora_G[part].pow(4)
        ratio = (variance + mean.square()) / deviation**2
        logs = 2 * math.log(deviation) - variance.clamp(min=torch.finfo(variance.dtype).tiny).log()
        return 0.5 * (ratio + logs - 1).sum((1, 2))

    @torch.no_grad()
    def sample(self, member: int, noise: Tensor) -> None:
        """A of one member from its mean and deviation, for noise (S*R, in)."""
        assert self.lora_G is not None
        self.lora_A[member] += self.lora_G[member].square() * noise


def _signs(like: Tensor) -> Tensor:
    return torch.randint_like(like, 2).mul_(2).sub_(1)
