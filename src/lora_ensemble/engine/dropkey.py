"""DropKey: attention keys are dropped before the softmax, independently per head, query and key.

Li et al., "DropKey for Vision Transformer", CVPR 2023. Models of transformers are reached through its attention
interface; of others, the attention layers that call torch's `scaled_dot_product_attention`, as timm's do.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lora_ensemble.engine import surgery
from lora_ensemble.engine.wrapping import unwrapped
from lora_ensemble.errors import ConfigurationError

DROPKEY = "lora_ensemble_dropkey"


def use_dropkey(network: nn.Module, p: float) -> None:
    """Let every attention layer drop keys with probability p, in training and at prediction.

    Raises NoMatchError for a model without attention layers, ConfigurationError, in its first pass, where one computes
    its attention in another way than those named above.
    """
    settable: Any = unwrapped(network)
    if hasattr(settable, "set_attn_implementation") and settable._can_set_attn_implementation():
        _register()
        settable.set_attn_implementation(DROPKEY)
        for module in network.modules():
            module.dropkey_p = p  # type: ignore[assignment]
        return
    for path in surgery.attention_modules(network):
        attention = surgery.get(network, path)
        if hasattr(attention, "fused_attn"):  # timm: scaled_dot_product_attention, or written out
            attention.fused_attn = True  # type: ignore[assignment]
        attention.forward = _dropping(attention, path, p)


def _dropping(attention: nn.Module, path: str, p: float) -> Callable[..., Any]:
    forward = attention.forward

    def dropping(*args: Any, **kwargs: Any) -> Any:
        with _DropKeys(p) as mode:
            out = forward(*args, **kwargs)
        if not mode.calls:
            kind = type(attention).__name__
            raise ConfigurationError(
                [f"dropout = 'dropkey': {path} ({kind}) does not call scaled_dot_product_attention; choose 'dropout'"]
            )
        return out

    return dropping


class _DropKeys(TorchFunctionMode):
    """Inside, torch's attention drops keys."""

    def __init__(self, p: float):
        super().__init__()
        self.attention, self.calls = SimpleNamespace(dropkey_p=p), 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        self.calls += 1
        return self._dropped(*args, **(kwargs or {}))

    def _dropped(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if query.ndim == 3:  # one head, without an axis of its own
            mask = attn_mask[:, None] if attn_mask is not None and attn_mask.ndim == 3 else attn_mask
            parts = (query[:, None], key[:, None], value[:, None], mask, dropout_p, is_causal, scale)
            return self._dropped(*parts)[:, 0]
        module: Any = self.attention
        out, _ = dropkey_attention(
            module, query, key, value, attn_mask, scaling=scale, dropout=dropout_p, is_causal=is_causal
        )
        return out.transpose(1, 2)


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    def whole_mask(*args: Any, **kwargs: Any) -> Tensor | None:
        # Dropped keys need the mask itself: causality must not be left to a flag of the attention kernel.
        return sdpa_mask(*args, **(kwargs | {"allow_is_causal_skip": False}))

    AttentionInterface.register(DROPKEY, dropkey_attention)
    AttentionMaskInterface.register(DROPKEY, whole_mask)


def dropkey_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of query (B, heads, T, d) over key and value (B, key heads, S, d) with keys dropped at random.

    A query whose keys would all be dropped keeps them all. Raises ConfigurationError for attention with more than that.
    """
    if extra := [name for name in ("softcap", "s_aux") if kwargs.get(name) is not None]:
        raise ConfigurationError([f"dropout = 'dropkey' does not know attention with {extra[0]}"])
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    allowed, bias = _allowed(query, key, attention_mask, bool(causal)), position_bias
    if attention_mask is not None and attention_mask.dtype != torch.bool:
        bias = attention_mask if bias is None else bias + attention_mask
    kept = torch.rand(*query.shape[:3], key.shape[2], device=query.device) >= getattr(module, "dropkey_p")  # noqa: B009
    kept &= allowed
    kept |= allowed & ~kept.any(-1, keepdim=True)
    mask = kept if bias is None else torch.where(kept, bias, float("-inf")).to(query.dtype)
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)
    return out.transpose(1, 2).contiguous(), None


def _allowed(query: Tensor, key: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Which keys a query may attend to, before any is dropped; broadcasts to (B, heads, T, S)."""
    if mask is not None:
        return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
    everything = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device)
    return everything.tril() if causal and query.shape[2] > 1 else everything
