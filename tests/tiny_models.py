"""Tiny random models of every kind that the library must handle, with inputs that fit. Not a test file.

Their weights are larger than at a usual start, so that attention is far from uniform and an error anywhere shows in the
logits. Nothing in them is random at run time unless a test asks for dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import timm
import torch
import transformers as tf
from torch import Tensor, nn

CLASSES, VOCABULARY, TOKENS = 5, 40, 7

around_peft = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",  # of transformers, which PEFT asks
    "ignore:fan_in_fan_out is set to False but the target module is `Conv1D`:UserWarning",
)
"""Silences what PEFT itself sets off where a test builds a PEFT model."""


@dataclass(frozen=True)
class Tiny:
    """One architecture. head: path of its classification head. qkv: names of the projections to adapt."""

    make: Callable[..., nn.Module]
    inputs: Callable[[int], dict[str, Tensor]]
    head: str | None
    projections: tuple[str, ...]

    def build(self, seed: int = 0, **options: Any) -> nn.Module:
        """The model, always the same for a seed, in evaluation mode."""
        torch.manual_seed(seed)
        return lively(self.make(**options)).eval()

    def batch(self, rows: int, seed: int = 0) -> tuple[dict[str, Tensor], Tensor]:
        """Inputs and labels: class indices, or the tokens themselves for a language model."""
        torch.manual_seed(seed)
        inputs = self.inputs(rows)
        return inputs, torch.randint(0, CLASSES, (rows,)) if self.head else inputs["input_ids"]


@torch.no_grad()
def lively(model: nn.Module) -> nn.Module:
    """Redraw every weight so that what goes in moves what comes out."""
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            parameter.normal_(std=1.2 / parameter.shape[-1] ** 0.5)
        else:
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def vit(dropout: float = 0.0, layers: int = 2, labels: int = CLASSES) -> nn.Module:
    return tf.ViTForImageClassification(
        tf.ViTConfig(
            image_size=8,
            patch_size=4,
            hidden_size=16,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=24,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            num_labels=labels,
        )
    )


def deit() -> nn.Module:
    config = tf.DeiTConfig(
        image_size=8,
        patch_size=4,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        num_labels=CLASSES,
    )
    return tf.DeiTForImageClassification(config)


def swin() -> nn.Module:
    config = tf.SwinConfig(
        image_size=16,
        patch_size=2,
        embed_dim=8,
        depths=[2, 1],
        num_heads=[2, 2],
        window_size=2,
        drop_path_rate=0.0,
        num_labels=CLASSES,
    )
    return tf.SwinForImageClassification(config)


def ast() -> nn.Module:
    config = tf.ASTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        patch_size=4,
        frequency_stride=4,
        time_stride=4,
        max_length=8,
        num_mel_bins=8,
        num_labels=CLASSES,
    )
    return tf.ASTForAudioClassification(config)


def bert(dropout: float = 0.0) -> nn.Module:
    return tf.BertForSequenceClassification(
        tf.BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=16,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            num_labels=CLASSES,
        )
    )


def roberta() -> nn.Module:
    """Its head is two linear layers."""
    return tf.RobertaForSequenceClassification(
        tf.RobertaConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=16,
            pad_token_id=0,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            num_labels=CLASSES,
        )
    )


def llama_config() -> tf.LlamaConfig:
    """Grouped queries: four heads of queries share two of keys and values."""
    return tf.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        num_labels=CLASSES,
    )


def llama() -> nn.Module:
    return tf.LlamaForCausalLM(llama_config())


def llama_classifier() -> nn.Module:
    return tf.LlamaForSequenceClassification(llama_config())


def gpt2() -> nn.Module:
    return tf.GPT2LMHeadModel(
        tf.GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=16,
            n_layer=2,
            n_head=2,
            n_positions=16,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


def timm_vit(dropout: float = 0.0) -> nn.Module:
    return timm.create_model(
        "vit_tiny_patch16_224",
        img_size=32,
        patch_size=16,
        embed_dim=24,
        depth=2,
        num_heads=2,
        num_classes=CLASSES,
        proj_drop_rate=dropout,
    )


class PlainAttention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.to_out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.to_qkv(x).chunk(3, -1)
        return self.to_out(nn.functional.scaled_dot_product_attention(q, k, v))


class PlainBlock(nn.Module):
    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), PlainAttention(width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 24), nn.GELU(), nn.Linear(24, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm(x)))
        return x + self.mlp(x)


class PlainTransformer(nn.Module):
    """A classifier in plain torch, called as model(x) with x (B, T, 6)."""

    def __init__(self, dropout: float = 0.0, depth: int = 2, width: int = 16):
        super().__init__()
        self.embed = nn.Linear(6, width)
        self.blocks = nn.ModuleList(PlainBlock(width, dropout) for _ in range(depth))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


def _images(rows: int) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(rows, 3, 8, 8)}


def _tokens(rows: int) -> dict[str, Tensor]:
    """Token 0 pads the right end of some rows."""
    ids = torch.randint(3, VOCABULARY, (rows, TOKENS))
    mask = torch.ones_like(ids)
    mask[1::3, -2:] = 0
    return {"input_ids": ids.masked_fill(mask == 0, 0), "attention_mask": mask}


def _text(rows: int) -> dict[str, Tensor]:
    return {"input_ids": torch.randint(3, VOCABULARY, (rows, TOKENS))}


_QKVO = ("q_proj", "k_proj", "v_proj", "o_proj")
_BERT = ("query", "key", "value", "attention.output.dense")

TINY = {
    "vit": Tiny(vit, _images, "classifier", _QKVO),
    "deit": Tiny(deit, _images, "classifier", _QKVO),
    "swin": Tiny(swin, lambda rows: {"pixel_values": torch.randn(rows, 3, 16, 16)}, "classifier", _QKVO),
    "ast": Tiny(ast, lambda rows: {"input_values": torch.randn(rows, 8, 8)}, "classifier", _QKVO),
    "bert": Tiny(bert, _tokens, "classifier", _BERT),
    "roberta": Tiny(roberta, _tokens, "classifier", _BERT),
    "llama-classifier": Tiny(llama_classifier, _tokens, "score", _QKVO),
    "llama": Tiny(llama, _text, None, _QKVO),
    "gpt2": Tiny(gpt2, _text, None, ("c_attn", "attn.c_proj")),
    "timm-vit": Tiny(timm_vit, lambda rows: {"x": torch.randn(rows, 3, 32, 32)}, "head", ("qkv", "attn.proj")),
    "plain": Tiny(PlainTransformer, lambda rows: {"x": torch.randn(rows, 4, 6)}, "head", ("to_qkv", "to_out")),
}
