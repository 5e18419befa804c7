"""Attention that reads the weight of a projection, and never calls it: what it gets is a weight that knows its layer.

torchvision's Swin passes weights to a function, WavLM and torch.nn.MultiheadAttention pass them to
`F.multi_head_attention_forward`. An adapted layer gives them a `ReadWeight`; torch asks it wherever it is used, and it
lets the layer do the work.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lora_ensemble.errors import ConfigurationError

_ATTENTION = inspect.signature(F.multi_head_attention_forward)

_ABOUT = ("dtype", "device", "shape", "ndim", "requires_grad", "layout", "names", "size", "dim", "numel", "stride")
"""What may be asked of a weight without using its values."""


class ReadWeight(Tensor):
    """The weight (out, in) of the base layer of `layer`; a product with it is a call of that layer."""

    layer: Any

    @classmethod
    def of(cls, layer: Any) -> ReadWeight:
        """A new one at each reading: nothing keeps it."""
        weight: ReadWeight = layer.base_layer.weight.detach().as_subclass(cls)
        weight.layer = layer
        return weight

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.linear:
            return _linear(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            return _attention(**_ATTENTION.bind(*args, **kwargs).arguments)
        name = getattr(func, "__name__", str(func))
        if name == "__get__":
            name = getattr(func.__self__, "__name__", name)
        if name.startswith("is_") or name in _ABOUT:
            with torch._C.DisableTorchFunctionSubclass():  # its type, its shape, where it is
                return func(*args, **kwargs)
        raise ConfigurationError([f"an attention layer uses the weight of an adapted projection in {name}; exclude it"])


def _linear(x: Tensor, weight: Any, bias: Tensor | None = None) -> Tensor:
    if not isinstance(weight, ReadWeight):
        raise ConfigurationError(["an attention layer projects the weight of an adapted projection; exclude it"])
    own: Tensor | None = weight.layer.base_bias()
    y: Tensor = weight.layer(x)
    if bias is own:
        return y
    y = y if own is None else y - own
    return y if bias is None else y + bias


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    num_heads: int,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    dropout_p: float,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    attn_mask: Tensor | None = None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    **rest: Any,
) -> tuple[Tensor, Tensor | None]:
    """`F.multi_head_attention_forward` of (T, B, D), whose projections are called."""
    if query.ndim != 3 or any(rest.get(n) is not None for n in ("bias_k", "bias_v", "static_k", "static_v")):
        raise ConfigurationError(
            ["torch.nn.MultiheadAttention without a batch, or with bias_k or static keys, is not yet supported"]
        )
    if rest.get("add_zero_attn"):
        raise ConfigurationError(["torch.nn.MultiheadAttention with add_zero_attn is not supported yet"])
    q, k, v = (_heads(x, num_heads) for x in _projected(query, key, value, **rest))
    mask = _mask(attn_mask, key_padding_mask, q, k)
    dropout = dropout_p if training else 0.0
    if need_weights:
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        weights = F.dropout(torch.softmax(scores if mask is None else scores + mask, -1), dropout)
        mixed = weights @ v
    else:
        mixed, weights = F.scaled_dot_product_attention(q, k, v, mask, dropout), None
    out = F.linear(mixed.transpose(1, 2).flatten(2), out_proj_weight, out_proj_bias).transpose(0, 1)
    return out, weights.mean(1) if weights is not None and average_attn_weights else weights


def _projected(query: Tensor, key: Tensor, value: Tensor, **rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value, (B, T, D): the batch comes first where members are."""
    inputs = [query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)]
    bias = rest.get("in_proj_bias")
    biases = (None, None, None) if bias is None else bias.chunk(3)
    if rest.get("use_separate_proj_weight"):
        each = [rest[f"{name}_proj_weight"] for name in "qkv"]
        parts = [_project(x, w, b) for x, w, b in zip(inputs, each, biases, strict=True)]
    elif query is key and key is value:
        parts = list(_project(inputs[0], rest["in_proj_weight"], bias).chunk(3, -1))
    else:
        parts = [_project(x, rest["in_proj_weight"], bias).chunk(3, -1)[i] for i, x in enumerate(inputs)]
    return parts[0], parts[1], parts[2]


def _project(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """An adapted projection adds its own bias, which is the one that was read from it."""
    project: Callable[..., Tensor] | None = getattr(weight, "layer", None)
    return F.linear(x, weight, bias) if project is None else project(x)


def _heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, D) to (B, heads, T, D / heads)."""
    apart: Tensor = x.unflatten(-1, (heads, -1))
    return apart.transpose(1, 2)


def _mask(attn_mask: Tensor | None, padding: Tensor | None, q: Tensor, k: Tensor) -> Tensor | None:
    """What is added to the scores (B, heads, T, S). A boolean mask is true where attention is forbidden."""

    def added(mask: Tensor) -> Tensor:
        return (
            torch.zeros_like(mask, dtype=q.dtype).masked_fill_(mask, float("-inf"))
            if mask.dtype == torch.bool
            else mask
        )

    parts = []
    if attn_mask is not None:
        parts.append(added(attn_mask if attn_mask.ndim == 2 else attn_mask.unflatten(0, (len(q), -1))))
    if padding is not None:
        parts.append(added(padding)[:, None, None])
    return None if not parts else sum(parts[1:], parts[0])
