"""Weights of a vision transformer under the names of transformers' Audio Spectrogram Transformer.

Gong et al., "AST: Audio Spectrogram Transformer", arXiv 2104.01778, section 2.2: the patch convolution is summed over
the colours, the position embedding fitted to the patches of the spectrogram, everything else stays.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lora_ensemble.conversions.ast_positions import fitted, patches
from lora_ensemble.errors import FileFormatError

_BLOCK = re.compile(r"(?:blocks|encoder\.layer|layers)\.(\d+)\.(.+)\.(weight|bias)")
_LAYERS = {
    "layernorm_before": ("norm1", "layernorm_before"),
    "layernorm_after": ("norm2", "layernorm_after"),
    "attention.q_proj": ("attention.attention.query", "attention.q_proj"),
    "attention.k_proj": ("attention.attention.key", "attention.k_proj"),
    "attention.v_proj": ("attention.attention.value", "attention.v_proj"),
    "attention.o_proj": ("attn.proj", "attention.output.dense", "attention.o_proj"),
    "mlp.fc1": ("mlp.fc1", "intermediate.dense"),
    "mlp.fc2": ("mlp.fc2", "output.dense"),
}
"""Name in a layer of the AST: names in timm, in transformers' files and in its models."""
_WHOLE = {
    "cls_token": ("cls_token", "embeddings.cls_token"),
    "distillation_token": ("dist_token", "embeddings.distillation_token"),
    "positions": ("pos_embed", "embeddings.position_embeddings"),
    "convolution.weight": ("patch_embed.proj.weight", "embeddings.patch_embeddings.projection.weight"),
    "convolution.bias": ("patch_embed.proj.bias", "embeddings.patch_embeddings.projection.bias"),
    "layernorm.weight": ("norm.weight", "layernorm.weight"),
    "layernorm.bias": ("norm.bias", "layernorm.bias"),
}
_FUSED = "attn.qkv"
_PREFIX = re.compile(r"^(module\.)?((vit|deit)\.)?")
_DROPPED = re.compile(
    r"(head|head_dist|classifier|cls_classifier|distillation_classifier|pooler\.dense|pre_logits\.fc)\.(weight|bias)"
    r"|embeddings\.mask_token"
)
"""Heads of the vision transformer, and what is only used in its pretraining."""

_AST = "audio_spectrogram_transformer"


class Shape(NamedTuple):
    """The patches of a spectrogram."""

    frames: int
    bins: int
    frequency_stride: int
    time_stride: int

    def grid(self, patch: int) -> tuple[int, int]:
        """Patches along frequency and time. Raises FileFormatError where not even one fits."""
        if patch > min(self.frames, self.bins):
            raise FileFormatError(f"{self.bins} bins x {self.frames} frames are less than a patch, {patch} x {patch}")
        return patches(self.bins, patch, self.frequency_stride), patches(self.frames, patch, self.time_stride)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the keys of `_WHOLE`, and `layers.<i>.<name in _LAYERS>.<weight or bias>`; heads left out.

    Raises FileFormatError for a tensor that an AST has no place for, or none at all that it has one for."""
    whole = {name: ours for ours, names in _WHOLE.items() for name in names}
    layers = {name: ours for ours, names in _LAYERS.items() for name in names}
    found: dict[str, Tensor] = {}
    for full, tensor in state.items():
        name = _PREFIX.sub("", full)
        block = _BLOCK.fullmatch(name)
        if name in whole:
            found[whole[name]] = tensor
        elif block and block[2] == _FUSED:
            for part, third in zip("qkv", tensor.chunk(3), strict=True):
                found[f"layers.{block[1]}.attention.{part}_proj.{block[3]}"] = third
        elif block and block[2] in layers:
            found[f"layers.{block[1]}.{layers[block[2]]}.{block[3]}"] = tensor
        elif not _DROPPED.fullmatch(name):
            raise FileFormatError(f"no weights of a plain ViT or DeiT: an AST has no place for {full!r}")
    for ours, names in _WHOLE.items():
        if ours not in found and ours != "distillation_token":
            raise FileFormatError(f"no weights of a ViT or DeiT: {' and '.join(map(repr, names))} are both missing")
    return found


def ast_config(found: Mapping[str, Tensor], shape: Shape, num_heads: int | None = None) -> dict[str, Any]:
    """The arguments of ASTConfig, read from the shapes of `renamed` tensors.

    num_heads: attention heads, which no shape tells; by default those of the published ViTs, of width 64 (80 where the
    model's is 1280)."""
    convolution = found["convolution.weight"]
    if convolution.ndim != 4 or convolution.shape[2] != convolution.shape[3]:
        raise FileFormatError(
            f"the patch convolution has shape {tuple(convolution.shape)}, expected (D, channels, P, P)"
        )
    width, patch = convolution.shape[0], convolution.shape[-1]
    if num_heads is None and width > 1024 and width != 1280:
        raise FileFormatError(f"weights of width {width}: the number of attention heads is not known; give num_heads")
    layers = {int(name.split(".")[1]) for name in found if name.startswith("layers.")}
    hidden = found.get("layers.0.mlp.fc1.weight")
    if hidden is None:
        raise FileFormatError("no weights of a ViT or DeiT: the first layer has no mlp.fc1 or intermediate.dense")
    return {
        "hidden_size": width,
        "num_hidden_layers": 1 + max(layers),
        "num_attention_heads": num_heads or (16 if width == 1280 else max(1, width // 64)),
        "intermediate_size": hidden.shape[0],
        "patch_size": patch,
        "qkv_bias": "layers.0.attention.q_proj.bias" in found,
        "layer_norm_eps": 1e-6,
        "max_length": shape.frames,
        "num_mel_bins": shape.bins,
        "frequency_stride": shape.frequency_stride,
        "time_stride": shape.time_stride,
    }


def ast_state(found: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """The state dict of ASTForAudioClassification without its head; copies. A ViT without a distillation token lends
    its class token, and the position of it."""
    convolution = found["convolution.weight"]
    cls = found["cls_token"]
    tokens = 2 if "distillation_token" in found else 1
    positions = found["positions"][0]
    wanted = shape.grid(convolution.shape[-1])
    side = math.isqrt(max(0, len(positions) - tokens))
    there = wanted if convolution.shape[1] == 1 else (side, side)  # with one colour, it is an AST already
    if not side or there[0] * there[1] + tokens != len(positions):
        raise FileFormatError(
            f"{len(positions) - tokens} position embeddings of patches do not make a grid, {there[0]} x {there[1]}"
        )
    of_patches = fitted(positions[tokens:].unflatten(0, there), *wanted).flatten(0, 1)
    state = {
        "embeddings.cls_token": cls,
        "embeddings.distillation_token": found.get("distillation_token", cls),
        "embeddings.position_embeddings": torch.cat([positions[:1], positions[tokens - 1 : tokens], of_patches])[None],
        "embeddings.patch_embeddings.projection.weight": convolution.sum(1, keepdim=True),
        "embeddings.patch_embeddings.projection.bias": found["convolution.bias"],
    }
    state |= {name: tensor for name, tensor in found.items() if name.startswith(("layers.", "layernorm."))}
    return {f"{_AST}.{name}": tensor.detach().float().clone() for name, tensor in state.items()}
