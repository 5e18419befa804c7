"""How members start: each tensor of member m is drawn from a generator of (seed, m, name of the tensor).

So a member's start depends neither on how many members there are nor on what else is adapted: 8 + 8 members equal 16.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

InitA = Literal["kaiming", "xavier", "gaussian"]
"""kaiming: PEFT's default, U(-b, b) with b = sqrt(6 / ((1 + a^2) in)), a = sqrt(5), that is 1 / sqrt(in)."""

HeadInit = Literal["default", "gaussian", "xavier", "kaiming", "copy"]
"""default: torch.nn.Linear's own, redrawn per member; copy: every member starts from the head of the model."""

INIT_A, HEAD_INIT = get_args(InitA), get_args(HeadInit)


@dataclass(frozen=True)
class Start:
    """How a matrix starts: InitA or HeadInit, the gain of xavier, mean and standard deviation of gaussian."""

    init: str = "default"
    gain: float = 1.0
    std: float = 0.02
    mean: float = 0.0


def member_generator(seed: int, member: int, name: str) -> torch.Generator:
    """The random numbers of one tensor of one member, on the CPU (the same on every device)."""
    digest = hashlib.sha256(f"{seed}/{member}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def draw(shape: tuple[int, ...], start: Start, generator: torch.Generator) -> Tensor:
    """A matrix (out, in), float32. xavier: U(+-gain sqrt(6 / (in + out))); gaussian: N(mean, std^2); kaiming: InitA."""
    weight = torch.empty(shape)
    if start.init == "xavier":
        return nn.init.xavier_uniform_(weight, gain=start.gain, generator=generator)
    if start.init == "gaussian":
        return nn.init.normal_(weight, start.mean, start.std, generator=generator)
    assert start.init in ("kaiming", "default"), start.init
    return nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)


@torch.no_grad()
def init_linear(weight: Tensor, bias: Tensor | None, generator: torch.Generator, start: Start) -> None:
    """Redraw the weight (out, in) and bias (out,) of one linear layer in place. The bias is torch.nn.Linear's for
    "default", else zero."""
    weight.copy_(draw((weight.shape[0], weight.shape[1]), start, generator))
    if bias is None:
        return
    if start.init == "default":
        bound = 1 / math.sqrt(weight.shape[1])
        bias.copy_(torch.empty(bias.shape).uniform_(-bound, bound, generator=generator))
    else:
        bias.zero_()
