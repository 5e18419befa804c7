"""torch.nn.MultiheadAttention, opened: its projections as layers, so that they can be adapted like any other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class OpenAttention(nn.MultiheadAttention):
    """torch.nn.MultiheadAttention with its first projection as a layer, `in_proj`, that can be adapted. The same
    parameters, and, until something is adapted, the same computation."""

    in_proj: Any

    @property
    def in_proj_weight(self) -> Tensor:  # type: ignore[override]
        weight: Tensor = self.in_proj.weight
        return weight

    @property
    def in_proj_bias(self) -> Tensor | None:  # type: ignore[override]
        bias: Tensor | None = self.in_proj.bias
        return bias


def open_attention(model: nn.Module) -> None:
    """Put an OpenAttention in place of every torch.nn.MultiheadAttention (none of a class derived from it) whose query,
    key and value have one width."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.MultiheadAttention and child._qkv_same_embed_dim:
                setattr(parent, name, _opened(child))


def close_attention(model: nn.Module) -> None:
    """The inverse, for a model whose projections are plain linear layers again."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, OpenAttention):
                setattr(parent, name, _closed(child))


def _opened(module: nn.MultiheadAttention) -> OpenAttention:
    opened: OpenAttention = _with_class(module, OpenAttention)
    weight, bias = opened._parameters.pop("in_proj_weight"), opened._parameters.pop("in_proj_bias")
    assert weight is not None
    with torch.device("meta"):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    linear.weight = weight
    linear.register_parameter("bias", bias)
    opened.in_proj = linear
    return opened


def _closed(module: OpenAttention) -> nn.MultiheadAttention:
    closed: nn.MultiheadAttention = _with_class(module, nn.MultiheadAttention)
    linear = module.in_proj
    del closed._modules["in_proj"]
    closed.register_parameter("in_proj_weight", linear.weight)
    closed.register_parameter("in_proj_bias", linear.bias)
    return closed


def _with_class(module: Any, kind: Any) -> Any:
    """The same module in another class, with tables of its own."""
    made = kind.__new__(kind)
    made.__dict__.update(module.__dict__)
    for table in ("_parameters", "_modules", "_buffers"):
        made.__dict__[table] = dict(module.__dict__[table])
    return made
