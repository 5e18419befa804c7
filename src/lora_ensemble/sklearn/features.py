"""A small transformer for rows of numbers, where there is no pretrained network: every feature is a token.

Source: FT-Transformer, Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", arXiv 2106.11959, smaller.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEADS, BLOCKS = 32, 4, 2


class FeatureTransformer(nn.Module):
    """(B, features) standardised numbers to (B, classes). Attention goes to a token of its own, which is read out.

    It is not pretrained: a LoRA ensemble trains `SHARED`, what is no attention, one for all members."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.tokens = FeatureTokens(features)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(WIDTH)
        self.classifier = nn.Linear(WIDTH, classes)

    def forward(self, row: Tensor) -> Tensor:
        x = self.tokens(row)
        for block in self.blocks:
            x = block(x)
        return self.classifier(self.norm(x[:, 0]))  # type: ignore[no-any-return]


SHARED = (
    "tokens",
    "norm",
    *(f"blocks.{number}.{part}" for number in range(BLOCKS) for part in ("before", "between", "up", "down")),
)
TARGETS = tuple(f"blocks.{number}.{part}" for number in range(BLOCKS) for part in ("query", "key", "value", "out"))


class FeatureTokens(nn.Module):
    """Number j times weight j, plus bias j; before them the token that is read out."""

    def __init__(self, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features, WIDTH).uniform_(-1, 1) / WIDTH**0.5)
        self.bias = nn.Parameter(torch.empty(features, WIDTH).uniform_(-1, 1) / WIDTH**0.5)
        self.read = nn.Parameter(torch.empty(WIDTH).uniform_(-1, 1) / WIDTH**0.5)

    def forward(self, row: Tensor) -> Tensor:
        tokens = row[..., None] * self.weight + self.bias
        return torch.cat([self.read.expand(len(row), 1, WIDTH), tokens], 1)


class Block(nn.Module):
    """Attention and two layers, each after a norm and added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.before(x)
        q, k, v = (
            layer(normed).unflatten(-1, (HEADS, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.between(x))))  # type: ignore[no-any-return]
