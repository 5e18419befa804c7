"""How members start: each tensor of member m is drawn from a generator of (seed, m, name of the tensor).

So a member's start depends neither on how many members there are nor on what else is adapted: 8 + 8 members equal 16.
"""

from __future__ import annotations

import hashlib
import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lora_ensemble.engine.layers import MemberCopies, MemberHead, MemberLayer, MemberLayerNorm, MemberLinear

InitA = Literal["kaiming", "xavier", "gaussian"]
"""kaiming: PEFT's default, U(-b, b) with b = sqrt(6 / ((1 + a^2) in)), a = sqrt(5), that is 1 / sqrt(in)."""

HeadInit = Literal["default", "gaussian", "xavier", "kaiming", "copy"]
"""default: torch.nn.Linear's own, redrawn per member; copy: every member starts from the head of the model."""

INIT_A, HEAD_INIT = get_args(InitA), get_args(HeadInit)


def member_generator(seed: int, member: int, name: str) -> torch.Generator:
    """The random numbers of one tensor of one member, on the CPU (the same on every device)."""
    digest = hashlib.sha256(f"{seed}/{member}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def draw(shape: tuple[int, ...], init: str, gain: float, std: float, generator: torch.Generator) -> Tensor:
    """A matrix (out, in), float32. xavier: U(+-gain sqrt(6 / (in + out))); gaussian: N(0, std^2); kaiming: InitA."""
    weight = torch.empty(shape)
    if init == "xavier":
        return nn.init.xavier_uniform_(weight, gain=gain, generator=generator)
    if init == "gaussian":
        return nn.init.normal_(weight, std=std, generator=generator)
    assert init in ("kaiming", "default"), init
    return nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)


@torch.no_grad()
def init_adapter(
    layer: MemberLinear, member: int, generator: torch.Generator, init: str, gain: float, std: float
) -> None:
    """A drawn as asked (each part of a fused projection by itself), B zero: the member starts as the backbone."""
    parts = layer.lora_A[member].view(layer.splits, layer.r, -1)
    for part in parts:
        part.copy_(draw((layer.r, part.shape[-1]), init, gain, std, generator))
    layer.lora_B[member].zero_()


@torch.no_grad()
def init_head(layer: MemberLayer, member: int, generator: torch.Generator, init: str, gain: float, std: float) -> None:
    """Redraw a member's head. Biases: torch.nn.Linear's for "default", else zero. Layer norms become the identity."""
    if init == "copy":
        return
    if isinstance(layer, MemberHead):
        init_linear(
            layer.weight[member],
            None if layer.bias is None else layer.bias[member],
            generator,
            init,
            gain,
            std,
        )
    elif isinstance(layer, MemberLayerNorm):
        layer.weight[member].fill_(1)
        layer.bias[member].zero_()
    elif isinstance(layer, MemberCopies):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
            for module in layer.copies[member].modules():
                getattr(module, "reset_parameters", lambda: None)()


@torch.no_grad()
def init_linear(
    weight: Tensor, bias: Tensor | None, generator: torch.Generator, init: str, gain: float, std: float
) -> None:
    """Redraw the weight (out, in) and bias (out,) of one linear layer in place."""
    weight.copy_(draw((weight.shape[0], weight.shape[1]), init, gain, std, generator))
    if bias is None:
        return
    if init == "default":
        bound = 1 / math.sqrt(weight.shape[1])
        bias.copy_(torch.empty(bias.shape).uniform_(-bound, bound, generator=generator))
    else:
        bias.zero_()
