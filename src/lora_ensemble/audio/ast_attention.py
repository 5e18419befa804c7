"""The attention of an Audio Spectrogram Transformer with query, key and value in one linear layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.audio_spectrogram_transformer.modeling_audio_spectrogram_transformer import ASTAttention

PARTS = ("q_proj", "k_proj", "v_proj")


class FusedAttention(ASTAttention):
    """The same function as the attention it is made from, whose three projections are one layer `qkv`, (3 D, D): what a
    single low-rank pair on all three needs."""

    def __init__(self, plain: ASTAttention):
        super().__init__(plain.config)
        linears = [plain.get_submodule(name) for name in PARTS]
        state = {kind: torch.cat([linear.state_dict()[kind] for linear in linears]) for kind in linears[0].state_dict()}
        rows, width = state["weight"].shape
        self.qkv = nn.Linear(width, rows, "bias" in state, dtype=state["weight"].dtype)
        self.qkv.load_state_dict(state)
        self.o_proj = plain.o_proj
        for part, name in enumerate(PARTS):
            setattr(self, name, _Third(part))

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Any:
        return super().forward(self.qkv(hidden_states), attention_mask, **kwargs)


class _Third(nn.Module):
    """Takes the query, key or value out of what `qkv` returned."""

    def __init__(self, part: int):
        super().__init__()
        self.part = part

    def forward(self, qkv: Tensor) -> Tensor:
        return qkv.chunk(3, -1)[self.part]


def fuse(model: Any) -> None:
    """Give every layer of an ASTForAudioClassification fused attention, in place."""
    for layer in model.audio_spectrogram_transformer.layers:
        layer.attention = FusedAttention(layer.attention).train(layer.training)
