"""DropoutEnsemble: Monte Carlo dropout. One network whose dropout stays on at prediction; every pass is a member.

DropKey drops attention keys before the softmax, independently per head, query and key (Li et al., "DropKey for Vision
Transformer", CVPR 2023), as arXiv 2405.14438 does; ordinary dropout is Gal & Ghahramani, ICML 2016.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_ensemble.engine import surgery
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.folding import batch_size, fold, unfold
from lora_ensemble.engine.initialisation import init_head, member_generator
from lora_ensemble.engine.layers import MemberLayer, Pass, PassState, per_member
from lora_ensemble.engine.networks import load_networks, save_networks
from lora_ensemble.errors import ConfigurationError, NoMatchError

DROPKEY = "lora_ensemble_dropkey"


class DropoutEnsemble(Ensemble):
    """M stochastic passes of one network, all in one batch.

    p: probability of dropping. dropout: "dropkey" or "dropout". member_heads: path of a head of which every member gets
    one, trained on a pass of its own; None: all share the network's, and a training step runs one pass.
    """

    kind, method = "dropout", "mc-dropout"

    def __init__(
        self,
        network: nn.Module,
        members: int,
        *,
        p: float,
        dropout: str = "dropkey",
        member_heads: str | None = None,
    ):
        super().__init__(members)
        self.options = {"p": p, "dropout": dropout, "member_heads": member_heads}
        self.state = PassState(members if member_heads else 1)
        if member_heads:
            head = per_member(surgery.get(network, member_heads), self.state, members)
            surgery.replace(network, member_heads, head)
        if dropout == "dropkey":
            use_dropkey(network, p)
        else:
            use_dropout(network, p)
        self.network = network

    def draw_heads(self, seed: int) -> None:
        """Draw each member's head from the generator of (seed, member)."""
        for name, layer in self.network.named_modules():
            if isinstance(layer, MemberLayer):
                for m in range(self.members):
                    init_head(layer, m, member_generator(seed, m, name), "default", 1.0, 0.02)

    def trained_members(self) -> range:
        return range(self.members if self.options["member_heads"] else 1)

    def member_logits(self, members: range, inputs: dict[str, Any], shared: bool) -> Tensor:
        inputs, rows = fold(inputs, len(members)) if shared else (inputs, batch_size(inputs))
        if not self.options["member_heads"]:
            return unfold(self.network(**inputs), len(members), rows)
        with self.state.running(Pass(members, rows, shared)):
            return unfold(self.network(**inputs), len(members), rows)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if not mode and self.options["dropout"] == "dropout":
            for module in self.network.modules():
                if isinstance(module, nn.Dropout):
                    module.train()
        return self

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        from lora_ensemble.engine.checkpointing import checkpoint_blocks

        checkpoint_blocks(self.network, self.state)

    def save_pretrained(self, folder: str | Path) -> None:
        """A manifest and one folder with all weights."""
        save_networks(self, Path(folder), [self.network], self.options)

    @classmethod
    def load(cls, model: nn.Module, folder: Path, manifest: dict[str, Any]) -> Self:
        """From a saved folder; see Ensemble.from_pretrained."""
        ensemble = cls(model, manifest["members"], **manifest["config"])
        load_networks([ensemble.network], folder, manifest)
        return ensemble


def use_dropout(network: nn.Module, p: float) -> None:
    """Set every dropout layer of the network to p. Raises NoMatchError where there is none."""
    layers = [m for m in network.modules() if isinstance(m, nn.Dropout)]
    if not layers:
        raise NoMatchError("the model has no torch.nn.Dropout layer; use dropout = 'dropkey'")
    for layer in layers:
        layer.p = p


def use_dropkey(network: nn.Module, p: float) -> None:
    """Let every attention layer drop keys with probability p, in training and at prediction, through transformers'
    attention interface. Raises ConfigurationError for a model that does not use it."""
    settable: Any = network
    if not (hasattr(network, "set_attn_implementation") and settable._can_set_attn_implementation()):
        kind = type(network).__name__
        raise ConfigurationError(
            [f"dropout = 'dropkey' needs transformers' attention interface, which {kind} lacks; choose 'dropout'"]
        )
    _register()
    settable.set_attn_implementation(DROPKEY)
    for module in network.modules():
        module.dropkey_p = p  # type: ignore[assignment]


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
