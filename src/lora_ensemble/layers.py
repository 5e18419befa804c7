"""Layers that hold M members: stacked parameters, one matrix product for all of them.

Inside, the batch is (M*B, ...), member 0 first. Each layer knows which members run from a PassState that all layers of
an ensemble share, and returns one member's part as a plain layer's state (`member_state`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_ensemble.surgery import in_out


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
        """Inside, layers run the members of `this`. Afterwards a pass over only some members is forgotten, so that a late
        recomputation cannot silently take others."""
        self.current = this
        try:
            yield
        finally:
            if this.members != self.all_members:
                self.current = None

    @property
    def members(self) -> range:
        assert self.current is not None, (
            "a member layer was recomputed outside its pass; use ensemble.gradient_checkpointing_enable()"
        )
        return self.current.members

    def take(self, stacked: Tensor) -> Tensor:
        """The rows of the running members of a stacked parameter (M, ...)."""
        members = self.members
        return stacked if members == self.all_members else stacked[members.start : members.stop]


class MemberLayer(nn.Module):
    """Base of the layers below."""

    def __init__(self, state: PassState):
        super().__init__()
        self.state = state

    def member_state(self, member: int) -> dict[str, Tensor]:
        """One member's tensors, named as the plain layer (or PEFT) names them."""
        raise NotImplementedError

    def load_member_state(self, member: int, state: Mapping[str, Tensor]) -> None:
        """The inverse of `member_state`."""
        with torch.no_grad():
            for name, parameter in self.named_parameters(recurse=False):
                if name in state:
                    parameter[member].copy_(state[name])


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
        assert width_out % splits == 0
        weight = base.weight
        # bf16 and fp16 backbones get fp32 members, as in PEFT: small updates would be rounded away otherwise.
        dtype = torch.float32 if not weight.dtype.is_floating_point or weight.itemsize < 4 else weight.dtype
        self.base_layer = base
        self.r, self.scale, self.dropout, self.splits = r, scale, dropout, splits
        self.lora_A = nn.Parameter(
            torch.empty(members, splits * r, width_in, dtype=dtype, device=weight.device)
        )
        self.lora_B = nn.Parameter(torch.zeros(members, width_out, r, dtype=dtype, device=weight.device))
        self.register_buffer("merged", None, persistent=False)

    merged: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        if self.merged is not None:
            return self._merged_forward(x)
        y = self.base_layer(x)
        members = len(self.state.members)
        A, B = self.state.take(self.lora_A), self._expanded_B(self.state.take(self.lora_B))
        if A.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
            A, B = A.to(x.dtype), B.to(x.dtype)
        if self.dropout and self.training:
            x = F.dropout(x, self.dropout)
        low = torch.bmm(x.reshape(members, -1, x.shape[-1]), A.transpose(1, 2))
        out = torch.baddbmm(y.view(members, -1, y.shape[-1]), low, B.transpose(1, 2), alpha=self.scale)
        return out.view_as(y)

    def _expanded_B(self, B: Tensor) -> Tensor:
        """(m, out, R) to (m, out, S*R), block-diagonal: part s of the output sees only part s of A."""
        if self.splits == 1:
            return B
        m, out, r = B.shape
        eye = torch.eye(self.splits, dtype=B.dtype, device=B.device)
        parts = B.view(m, self.splits, out // self.splits, 1, r) * eye[:, None, :, None]
        return parts.reshape(m, out, self.splits * r)

    def _merged_forward(self, x: Tensor) -> Tensor:
        members = len(self.state.members)
        W = self.state.take(self.merged)
        rows = x.reshape(members, -1, x.shape[-1])
        bias = getattr(self.base_layer, "bias", None)
        y = (
            torch.bmm(rows, W.transpose(1, 2))
            if bias is None
            else torch.baddbmm(bias, rows, W.transpose(1, 2))
        )
        return y.view(*x.shape[:-1], W.shape[1])

    def update(self, member: int) -> Tensor:
        """scale * B_m A_m, (out, in)."""
        B = self._expanded_B(self.lora_B[member : member + 1])[0]
        return self.scale * (B @ self.lora_A[member])

    def base_weight(self) -> Tensor:
        """W0 as (out, in), whatever the layer's own storage."""
        weight = self.base_layer.weight
        if hasattr(weight, "quant_state"):  # bitsandbytes
            from peft.utils.integrations import dequantize_bnb_weight

            return dequantize_bnb_weight(weight, state=getattr(self.base_layer, "state", None))
        return weight if isinstance(self.base_layer, nn.Linear) else weight.T

    def member_layer(self, member: int) -> nn.Linear:
        """Member m alone: a plain linear layer with its update merged."""
        W0, bias = self.base_weight(), getattr(self.base_layer, "bias", None)
        plain = nn.Linear(W0.shape[1], W0.shape[0], bias is not None, device=W0.device, dtype=W0.dtype)
        with torch.no_grad():
            plain.weight.copy_(W0 + self.update(member).to(W0.dtype))
            if bias is not None:
                plain.bias.copy_(bias)
        return plain

    @torch.no_grad()
    def merge(self) -> None:
        """Keep W0 + scale * B_m A_m of every member, (M, out, in): faster prediction for M times the memory of W0."""
        W0 = self.base_weight()
        self.merged = torch.stack([W0 + self.update(m).to(W0.dtype) for m in range(len(self.lora_A))])

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
        with torch.no_grad():
            self.lora_A[member].zero_()
            self.lora_B[member].zero_()
            self.lora_A[member, : A.shape[0]].copy_(A)
            if self.splits == 1:
                self.lora_B[member, :, : B.shape[1]].copy_(B)
                return
            out = B.shape[0] // self.splits
            for s in range(self.splits):
                part = slice(s * out, (s + 1) * out)
                self.lora_B[member, part].copy_(B[part, s * self.r : (s + 1) * self.r])


class MemberHead(MemberLayer):
    """M linear heads: weight (M, C, D), bias (M, C)."""

    def __init__(self, base: nn.Linear, state: PassState, members: int):
        super().__init__(state)
        self.weight = nn.Parameter(_stacked(base.weight, members))
        self.bias = None if base.bias is None else nn.Parameter(_stacked(base.bias, members))

    def forward(self, x: Tensor) -> Tensor:
        W = self.state.take(self.weight)
        if W.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
            x = x.to(W.dtype)
        rows = x.reshape(len(W), -1, x.shape[-1])
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
        plain = nn.Linear(self.weight.shape[2], self.weight.shape[1], self.bias is not None)
        plain.load_state_dict(self.member_state(member))
        return plain.to(self.weight.device)


class MemberLayerNorm(MemberLayer):
    """M layer norms: weight and bias (M, D)."""

    def __init__(self, base: nn.LayerNorm, state: PassState, members: int):
        super().__init__(state)
        assert len(base.normalized_shape) == 1
        self.eps = base.eps
        self.weight = nn.Parameter(_stacked(base.weight, members))
        self.bias = nn.Parameter(_stacked(base.bias if base.bias is not None else base.weight * 0, members))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.state.take(self.weight), self.state.take(self.bias)
        rows = F.layer_norm(x, x.shape[-1:], eps=self.eps).reshape(len(weight), -1, x.shape[-1])
        return torch.addcmul(bias[:, None], rows, weight[:, None]).view_as(x)

    def member_state(self, member: int) -> dict[str, Tensor]:
        return {"weight": self.weight[member].detach(), "bias": self.bias[member].detach()}

    def member_layer(self, member: int) -> nn.LayerNorm:
        """Member m's layer norm alone."""
        plain = nn.LayerNorm(self.weight.shape[1], eps=self.eps).to(self.weight.device)
        plain.load_state_dict(self.member_state(member))
        return plain


class MemberCopies(MemberLayer):
    """Any other module with parameters: M copies, run one after another. The slow, general case."""

    def __init__(self, base: nn.Module, state: PassState, members: int):
        super().__init__(state)
        self.copies = nn.ModuleList(copy.deepcopy(base).requires_grad_(True) for _ in range(members))

    def forward(self, x: Tensor) -> Tensor:
        members = self.state.members
        return torch.cat(
            [self.copies[m](part) for m, part in zip(members, x.chunk(len(members)), strict=True)]
        )

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
