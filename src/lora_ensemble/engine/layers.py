"""Layers that hold M members: stacked parameters, one matrix product for all of them.

Inside, the batch is (M*B, ...), member 0 first. Each layer knows which members run from a PassState that all layers of
an ensemble share, and returns one member's part as a plain layer's state (`member_state`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lora_ensemble.engine.surgery import in_out
from lora_ensemble.errors import ConfigurationError, FileFormatError


@dataclass(frozen=True)
class Pass:
    """What runs now: which members, on how many rows in all (len(members) * B), and whether the rows are shared."""

    members: range
    rows: int
    shared: bool


class PassState:
    """The pass that is running, shared by all member layers of one ensemble of `members`."""

    def __init__(self, members: int):
        self.all_members = range(members)
        self.current: Pass | None = Pass(self.all_members, 0, False)

    @contextmanager
    def running(self, this: Pass) -> Iterator[None]:
        """Inside, layers run the members of `this`. Afterwards a pass over only some members is forgotten, so that a
        late recomputation cannot silently take others."""
        self.current = this
        try:
            yield
        finally:
            if this.members != self.all_members:
                self.current = None

    @property
    def members(self) -> range:
        """The running members. Raises ConfigurationError where there are none."""
        if self.current is None:
            raise ConfigurationError(
                ["a member layer ran outside its pass; recompute with ensemble.gradient_checkpointing_enable()"]
            )
        return self.current.members

    def take(self, stacked: Tensor) -> Tensor:
        """The rows of the running members of a stacked parameter (M, ...)."""
        members = self.members
        return stacked if members == self.all_members else stacked[members.start : members.stop]

    def rows(self, x: Tensor) -> Tensor:
        """x, (M*B, ..., D), by member: (M, B*..., D). Raises ConfigurationError where its first axis is not M*B."""
        members = self.members
        rows = 0 if self.current is None else self.current.rows
        if rows and x.shape[0] % rows:
            shape = tuple(x.shape)
            raise ConfigurationError([f"an adapted layer got an input {shape}, whose first axis is not {rows} rows"])
        return x.reshape(len(members), -1, x.shape[-1])


class MemberLayer(nn.Module):
    """Base of the layers below."""

    def __init__(self, state: PassState):
        super().__init__()
        self.state = state

    def member_state(self, member: int) -> dict[str, Tensor]:
        """One member's tensors, named as the plain layer (or PEFT) names them."""
        raise NotImplementedError

    def member_layer(self, member: int) -> nn.Module:
        """One member's part as a plain layer."""
        raise NotImplementedError

    def load_member_state(self, member: int, state: Mapping[str, Tensor]) -> None:
        """The inverse of `member_state`."""
        with torch.no_grad():
            for name, parameter in self.named_parameters(recurse=False):
                if name in state:
                    parameter[member].copy_(state[name])


def _add_low_rank_(out: Tensor, low: Tensor, B: Tensor, scale: float) -> Tensor:
    # In place: `out` is fresh from the base layer, and copying it would cost as much as the low-rank products.
    return out.baddbmm_(low, B.transpose(1, 2), alpha=scale)


class AddLowRank(torch.autograd.Function):
    """y + scale * (x A^T) B^T of each member, in the memory of y, which the base layer has just made: y (m*B, .., out),
    x (m, N, in), A (m, R, in), B (m, out, R).

    The same derivative as autograd's own. Autograd would follow the addition through a view of y, and compute the
    gradients of the transposed factors, with copies that on a CPU take as long as the products themselves.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
        low = torch.bmm(x, A.transpose(1, 2))
        ctx.save_for_backward(x, A, B, low)
        ctx.scale = scale
        total = y.detach()
        _add_low_rank_(total.view(len(x), -1, total.shape[-1]), low, B, scale)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_y: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor, None]:
        x, A, B, low = ctx.saved_tensors
        g = g_y.reshape(len(x), -1, g_y.shape[-1])
        g_low, g_B = torch.bmm(g, B), torch.bmm(g.transpose(1, 2), low)
        if ctx.scale != 1:
            g_low, g_B = g_low * ctx.scale, g_B * ctx.scale
        g_x = torch.bmm(g_low, A) if ctx.needs_input_grad[1] else None
        return g_y, g_x, torch.bmm(g_low.transpose(1, 2), x), g_B, None


class MemberLinear(MemberLayer):
    """W0 x + scale * B_m A_m x: one frozen linear layer, stored and multiplied once, with M low-rank updates.

    lora_A: (M, S*R, in), lora_B: (M, out, R). S = 1, except for a fused projection (q, k and v in one matrix) whose S
    equal parts of the output have a low-rank pair each.
    """

    def __init__(
        self,
        base: nn.Module,
        state: PassState,
        members: int,
        r: int,
        scale: float,
        dropout: float,
        splits: int = 1,
    ):
        super().__init__(state)
        width_in, width_out = in_out(base)
        weight = base.weight
        assert isinstance(weight, Tensor)
        assert width_out % splits == 0
        # bf16 and fp16 backbones get fp32 members, as in PEFT: small updates would be rounded away otherwise.
        dtype = torch.float32 if not weight.dtype.is_floating_point or weight.itemsize < 4 else weight.dtype
        self.base_layer = base
        self.r, self.scale, self.dropout, self.splits = r, scale, dropout, splits
        self.lora_A = nn.Parameter(torch.empty(members, splits * r, width_in, dtype=dtype, device=weight.device))
        self.lora_B = nn.Parameter(torch.zeros(members, width_out, r, dtype=dtype, device=weight.device))
        self.register_buffer("merged", None, persistent=False)

    merged: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        if self.merged is not None:
            return self._merged_forward(x)
        y = self.base_layer(x)
        A, B = self.state.take(self.lora_A), self._expanded_B(self.state.take(self.lora_B))
        if self.dropout and self.training:
            x = F.dropout(x, self.dropout)
        rows, A, B = self.state.rows(x).to(y.dtype), A.to(y.dtype), B.to(y.dtype)
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return AddLowRank.apply(y.contiguous(), rows, A, B, self.scale)
        out = y.reshape(len(rows), -1, y.shape[-1])
        return _add_low_rank_(out, torch.bmm(rows, A.transpose(1, 2)), B, self.scale).view(y.shape)

    def _expanded_B(self, B: Tensor) -> Tensor:
        """(m, out, R) to (m, out, S*R), block-diagonal: part s of the output sees only part s of A."""
        if self.splits == 1:
            return B
        m, out, r = B.shape
        eye = torch.eye(self.splits, dtype=B.dtype, device=B.device)
        parts = B.view(m, self.splits, out // self.splits, 1, r) * eye[:, None, :, None]
        return parts.reshape(m, out, self.splits * r)

    def _merged_forward(self, x: Tensor) -> Tensor:
        assert self.merged is not None
        W, rows = self.state.take(self.merged), self.state.rows(x)
        bias = getattr(self.base_layer, "bias", None)
        y = torch.bmm(rows, W.transpose(1, 2)) if bias is None else torch.baddbmm(bias, rows, W.transpose(1, 2))
        return y.view(*x.shape[:-1], W.shape[1])

    def update(self, member: int) -> Tensor:
        """scale * B_m A_m, (out, in)."""
        B = self._expanded_B(self.lora_B[member : member + 1])[0]
        return self.scale * (B @ self.lora_A[member])

    def squared_norms(self, members: range) -> Tensor:
        """||B_m A_m||_F^2 of some members, (len(members),), without `scale`.

        Through the factors: it is the trace of (B^T B)(A A^T), two (R, R) matrices; a block-diagonal B has a pair of
        them for each block.
        """
        part = slice(members.start, members.stop)
        with torch.autocast(self.lora_A.device.type, enabled=False):
            A = self.lora_A[part].unflatten(1, (self.splits, self.r))
            B = self.lora_B[part].unflatten(1, (self.splits, -1))
            return ((A @ A.mT) * (B.mT @ B)).sum((1, 2, 3))

    def base_weight(self) -> Tensor:
        """W0 as (out, in), whatever the layer's own storage."""
        weight = self.base_layer.weight
        assert isinstance(weight, nn.Parameter)
        if type(weight).__name__ in ("Params4bit", "Int8Params"):  # bitsandbytes
            from peft.utils.integrations import dequantize_bnb_weight

            return dequantize_bnb_weight(weight, state=getattr(self.base_layer, "state", None))
        return weight if isinstance(self.base_layer, nn.Linear) else weight.T

    def member_layer(self, member: int) -> nn.Linear:
        """Member m alone: a plain linear layer with its update merged."""
        W0, bias = self.base_weight(), getattr(self.base_layer, "bias", None)
        plain = nn.Linear(W0.shape[1], W0.shape[0], bias is not None, device=W0.device, dtype=W0.dtype)
        with torch.no_grad():
            plain.weight.copy_(W0 + self.update(member))
            if bias is not None:
                plain.bias.copy_(bias)
        return plain

    @torch.no_grad()
    def merge(self) -> None:
        """Keep W0 + scale * B_m A_m of every member, (M, out, in): faster prediction for M times the memory of W0."""
        W0 = self.base_weight()
        self.merged = torch.stack([(W0 + self.update(m)).to(W0.dtype) for m in range(len(self.lora_A))])

    def unmerge(self) -> None:
        """Forget the merged weights."""
        self.merged = None

    def member_state(self, member: int) -> dict[str, Tensor]:
        """PEFT's names and shapes: A (S*R, in), B (out, S*R)."""
        B = self._expanded_B(self.lora_B[member : member + 1])[0]
        return {"lora_A.weight": self.lora_A[member].detach(), "lora_B.weight": B.detach()}

    def load_member_state(self, member: int, state: Mapping[str, Tensor]) -> None:
        """From PEFT's tensors. A smaller rank is filled with zeros; a block-diagonal B is taken apart."""
        A, B = state["lora_A.weight"], state["lora_B.weight"]
        self.unmerge()
        with torch.no_grad():
            self.lora_A[member].zero_()
            self.lora_B[member].zero_()
            self.lora_A[member, : A.shape[0]].copy_(A)
            if self.splits == 1:
                self.lora_B[member, :, : B.shape[1]].copy_(B)
                return
            blocks = B.view(self.splits, -1, self.splits, self.r)
            own = torch.stack([blocks[s, :, s] for s in range(self.splits)])
            if blocks.count_nonzero() != own.count_nonzero():
                raise FileFormatError("lora_B of a fused projection is not block-diagonal; load it with from_peft")
            self.lora_B[member].copy_(own.flatten(0, 1))


class MemberHead(MemberLayer):
    """M linear heads: weight (M, C, D), bias (M, C)."""

    def __init__(self, base: nn.Linear, state: PassState, members: int):
        super().__init__(state)
        self.base_dtype = base.weight.dtype
        self.weight = nn.Parameter(_stacked(base.weight, members))
        self.bias = None if base.bias is None else nn.Parameter(_stacked(base.bias, members))

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


class MemberLayerNorm(MemberLayer):
    """M layer norms: weight and bias (M, D)."""

    def __init__(self, base: nn.LayerNorm, state: PassState, members: int):
        super().__init__(state)
        assert len(base.normalized_shape) == 1
        self.eps, self.base_dtype = base.eps, base.weight.dtype
        self.weight = nn.Parameter(_stacked(base.weight, members))
        self.bias = None if base.bias is None else nn.Parameter(_stacked(base.bias, members))

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


class MemberCopies(MemberLayer):
    """Any other module with parameters: M copies, run one after another. The slow, general case."""

    def __init__(self, base: nn.Module, state: PassState, members: int):
        super().__init__(state)
        self.copies = nn.ModuleList(copy.deepcopy(base).requires_grad_(True) for _ in range(members))

    def forward(self, x: Tensor) -> Tensor:
        members = self.state.members
        return torch.cat([self.copies[m](part) for m, part in zip(members, x.chunk(len(members)), strict=True)])

    def member_state(self, member: int) -> dict[str, Tensor]:
        return dict(self.copies[member].state_dict())

    def load_member_state(self, member: int, state: Mapping[str, Tensor]) -> None:
        self.copies[member].load_state_dict(dict(state))

    def member_layer(self, member: int) -> nn.Module:
        """Member m's copy."""
        return copy.deepcopy(self.copies[member])


def per_member(module: nn.Module, state: PassState, members: int) -> nn.Module:
    """A module with every parameter of it held M times, members starting equal. Containers are kept."""
    if type(module) is nn.Linear:
        return MemberHead(module, state, members)
    if type(module) is nn.LayerNorm and module.weight is not None and len(module.normalized_shape) == 1:
        return MemberLayerNorm(module, state, members)
    if any(True for _ in module.parameters(recurse=False)):
        return MemberCopies(module, state, members)
    for name, child in list(module.named_children()):
        setattr(module, name, per_member(child, state, members))
    return module


def _stacked(tensor: Tensor, members: int) -> Tensor:
    dtype = torch.float32 if tensor.itemsize < 4 else tensor.dtype
    return tensor.detach().to(dtype).expand(members, *tensor.shape).clone()
