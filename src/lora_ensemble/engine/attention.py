"""Attention in training, with a derivative of its own where torch's kernel has a slow one: bf16 on a CPU.

There, the backward pass of torch's flash kernel takes several times as long as its forward pass. Which attention
runs follows from the device, the type, the length and what the processor can do, never from a clock: a training that is
resumed finds the same bits.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

MOST_TOKENS = 256
"""Above, the matrices of tokens x tokens need more memory than they save time."""

Shape = tuple[int, ...]


def training_attention(checkpointed: bool = False) -> AbstractContextManager[Any]:
    """Inside, short attention in bf16 on a CPU is `ShortAttention`, where gradients are computed; all other attention
    is what it was. checkpointed: this block runs again, in a context of its own, when the backward pass recomputes it.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return nullcontext()
    return _TrainingAttention(checkpointed)


class _TrainingAttention(TorchFunctionMode):
    def __init__(self, checkpointed: bool):
        super().__init__()
        self._checkpointed = checkpointed

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention and (self._checkpointed or not _hooked()):
            given = _given(*args, **kwargs)
            if given is not None:
                return ShortAttention.apply(*given)
        return func(*args, **kwargs)


def _hooked() -> bool:
    """Whether somebody else handles what is saved for the backward pass: a block that is recomputed outside of our
    context must find the kernel that it found here."""
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


@functools.cache
def _multiplies_bf16() -> bool:
    """Whether the processor's matrix products in bf16 are fast ones; without, they are slower than any attention."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _given(
    query: Any = None,
    key: Any = None,
    value: Any = None,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Any, ...] | None:
    """The arguments of ShortAttention; None where torch's kernel is to run."""
    every = (query, key, value)
    if not all(type(x) is Tensor and x.device.type == "cpu" and x.ndim == 4 for x in every) or not _multiplies_bf16():
        return None
    if torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.bfloat16:
        query, key, value = every = tuple(x.to(torch.bfloat16) for x in every)
    trained_mask = attn_mask is not None and attn_mask.requires_grad
    if any(x.dtype is not torch.bfloat16 for x in every) or dropout_p or trained_mask:
        return None
    if max(query.shape[2], key.shape[2]) > MOST_TOKENS:
        return None
    if enable_gqa and key.shape[1] != query.shape[1]:
        key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    if not query.shape[:2] == key.shape[:2] == value.shape[:2]:
        return None
    return query, key, value, attn_mask, is_causal, query.shape[-1] ** -0.5 if scale is None else scale


class ShortAttention(torch.autograd.Function):
    """softmax(scale Q K^T + mask) V of bf16 tensors (B, heads, T, d), as batched matrix products. Scores and softmax
    are in fp32, as in torch's kernel, so that it rounds no worse; probabilities are kept for the backward pass in bf16.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool, scale: float
    ) -> Tensor:
        q, k, v = (x.reshape(-1, *x.shape[2:]) for x in (query, key, value))
        with torch.autocast("cpu", enabled=False):
            scores = torch.baddbmm(_nothing(torch.float32), q.float(), k.float().mT, beta=0, alpha=scale)
            probs = _softmax(scores.unflatten(0, query.shape[:2]), mask, is_causal).flatten(0, 1).to(q.dtype)
            out = torch.bmm(probs, v)
        ctx.save_for_backward(q, k, v, probs)
        ctx.scale, ctx.heads = scale, query.shape[:2]
        by_head: Tensor = out.unflatten(0, ctx.heads)
        return by_head

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, probs = ctx.saved_tensors
        with torch.autocast("cpu", enabled=False):
            g = g_out.reshape(-1, *g_out.shape[2:])
            g_v = torch.bmm(probs.mT, g)
            g_scores = torch._softmax_backward_data(torch.bmm(g, v.mT), probs, -1, probs.dtype)
            nothing = _nothing(q.dtype)
            g_q = torch.baddbmm(nothing, g_scores, k, beta=0, alpha=ctx.scale)
            g_k = torch.baddbmm(nothing, g_scores.mT, q, beta=0, alpha=ctx.scale)
        return *(x.unflatten(0, ctx.heads) for x in (g_q, g_k, g_v)), None, None, None


def _softmax(scores: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    """Of fp32 scores (B, heads, T, S), which are overwritten. A row that may attend to nothing has zeros, as in torch.
    A boolean mask is true where attention is allowed."""
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        scores.masked_fill_(~allowed, float("-inf"))
    if mask is None:
        return torch.softmax(scores, -1)
    if mask.dtype == torch.bool:
        scores.masked_fill_(~mask, float("-inf"))
    else:
        scores.add_(mask)
    probs: Tensor = torch._safe_softmax(scores, -1)
    return probs


@functools.cache
def _nothing(dtype: torch.dtype) -> Tensor:
    """What a product is added to zero times; its value is never read."""
    return torch.zeros(1, dtype=dtype)
