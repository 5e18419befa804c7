"""The layers of a head that can be stacked: M linear layers, M layer norms."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_ensemble.engine.initialisation import Start, init_linear
from lora_ensemble.engine.layers.member import MemberLayer, stacked
from lora_ensemble.engine.layers.passes import PassState


class MemberHead(MemberLayer):
    """M linear heads: weight (M, C, D), bias (M, C)."""

    def __init__(self, base: nn.Linear, state: PassState, members: int):
        super().__init__(state)
        self.base_dtype = base.weight.dtype
        self.weight = nn.Parameter(stacked(base.weight, members))
        self.bias = None if base.bias is None else nn.Parameter(stacked(base.bias, members))

    def forward(self, x: Tensor) -> Tensor:
        W, rows = self.state.take(self.weight), self.state.rows(x)
        if W.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
            rows = rows.to(W.dtype)
        if self.bias is None:
            y = torch.bmm(rows, W.transpose(1, 2))
        else:
            y = torch.baddbmm(self.state.take(self.bias)[:, None], rows, W.transpose(1, 2))
        return y.view(*x.shape[:-1], W.shape[1])

    def member_state(self, member: int) -> dict[str, Tensor]:
        state = {"weight": self.weight[member].detach()}
        return state if self.bias is None else state | {"bias": self.bias[member].detach()}

    def member_layer(self, member: int) -> nn.Linear:
        """Member m's head as a plain linear layer."""
        _, width_out, width_in = self.weight.shape
        plain = nn.Linear(width_in, width_out, self.bias is not None, self.weight.device, self.base_dtype)
        plain.load_state_dict(self.member_state(member))
        return plain

    def draw(self, member: int, generator: torch.Generator, start: Start) -> None:
        if start.init != "copy":
            init_linear(self.weight[member], None if self.bias is None else self.bias[member], generator, start)


class MemberLayerNorm(MemberLayer):
    """M layer norms: weight and bias (M, D)."""

    def __init__(self, base: nn.LayerNorm, state: PassState, members: int):
        super().__init__(state)
        assert len(base.normalized_shape) == 1
        self.eps, self.base_dtype = base.eps, base.weight.dtype
        self.weight = nn.Parameter(stacked(base.weight, members))
        self.bias = None if base.bias is None else nn.Parameter(stacked(base.bias, members))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.state.take(self.weight)[:, None]
        rows = self.state.rows(F.layer_norm(x.to(weight.dtype), x.shape[-1:], eps=self.eps))
        if self.bias is None:
            return (rows * weight).view_as(x)
        return torch.addcmul(self.state.take(self.bias)[:, None], rows, weight).view_as(x)

    def member_state(self, member: int) -> dict[str, Tensor]:
        state = {"weight": self.weight[member].detach()}
        return state if self.bias is None else state | {"bias": self.bias[member].detach()}

    def member_layer(self, member: int) -> nn.LayerNorm:
        """Member m's layer norm alone."""
        bias, device = self.bias is not None, self.weight.device
        plain = nn.LayerNorm(self.weight.shape[1], eps=self.eps, bias=bias, device=device, dtype=self.base_dtype)
        plain.load_state_dict(self.member_state(member))
        return plain

    @torch.no_grad()
    def draw(self, member: int, generator: torch.Generator, start: Start) -> None:
        """The identity."""
        if start.init == "copy":
            return
        self.weight[member].fill_(1)
        if self.bias is not None:
            self.bias[member].zero_()
