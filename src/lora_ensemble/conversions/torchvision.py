"""torchvision's vision transformers in transformers' architecture: the same function under other names.

Both are Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021: pre-norm blocks, exact GELU, projections with
bias, layer norms with epsilon 1e-6, the class token's last state into one linear head, no pooling layer. torchvision
keeps query, key and value in one matrix, transformers in three.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lora_ensemble.errors import FileFormatError, UserError, did_you_mean, first_line, nearest


class Architecture(NamedTuple):
    """What tells torchvision's five vision transformers apart."""

    patch_size: int
    layers: int
    heads: int
    width: int


ARCHITECTURES = {
    "vit_b_16": Architecture(16, 12, 12, 768),
    "vit_b_32": Architecture(32, 12, 12, 768),
    "vit_l_16": Architecture(16, 24, 16, 1024),
    "vit_l_32": Architecture(32, 24, 16, 1024),
    "vit_h_14": Architecture(14, 32, 16, 1280),
}

HEAD = "classifier"
"""Path of the head in transformers' model."""

_WHOLE = {
    "class_token": "vit.embeddings.cls_token",
    "encoder.pos_embedding": "vit.embeddings.position_embeddings",
    "conv_proj": "vit.embeddings.patch_embeddings.projection",
    "encoder.ln": "vit.layernorm",
    "heads.head": HEAD,
}
_BLOCK = {
    "ln_1": "layernorm_before",
    "ln_2": "layernorm_after",
    "self_attention.out_proj": "attention.output.dense",
    "mlp.0": "intermediate.dense",
    "mlp.3": "output.dense",
    "mlp.linear_1": "intermediate.dense",  # the names in the files that torchvision publishes
    "mlp.linear_2": "output.dense",
}
_IN_BLOCK = re.compile(r"encoder\.layers\.encoder_layer_(\d+)\.(.+)")
_FUSED = re.compile(r"self_attention\.in_proj_(weight|bias)")


def transformers_config(state: Mapping[str, Tensor], num_heads: int | None = None) -> dict[str, Any]:
    """The arguments of transformers' ViTConfig for a torchvision state dict, read from the tensors' shapes.

    num_heads: attention heads, which no shape tells; by default those of the published architecture of this width.
    Raises FileFormatError for a state dict that is no torchvision ViT.
    """
    patches, positions = _tensor(state, "conv_proj.weight", 4), _tensor(state, "encoder.pos_embedding", 3)
    width, channels, patch, _ = patches.shape
    known = {a.width: a.heads for a in ARCHITECTURES.values()}
    if num_heads is None and width not in known:
        raise FileFormatError(f"no torchvision ViT has width {width}; there are {', '.join(map(str, known))}")
    layers = 1 + max((int(m[1]) for m in map(_IN_BLOCK.fullmatch, state) if m), default=-1)
    biases = [state[k] for i in ("0", "linear_1") if (k := f"encoder.layers.encoder_layer_0.mlp.{i}.bias") in state]
    if not biases:
        raise FileFormatError("no torchvision ViT: 'encoder.layers.encoder_layer_0.mlp.0.bias' is missing")
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": num_heads or known[width],
        "intermediate_size": len(biases[0]),
        "image_size": math.isqrt(positions.shape[1] - 1) * patch,
        "patch_size": patch,
        "num_channels": channels,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
    }


def transformers_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A torchvision state dict under the names by which ViT checkpoints are stored for transformers; copies.

    Strict: raises FileFormatError for a tensor that has no place in transformers' model. Missing ones show on loading.
    """
    converted: dict[str, Tensor] = {}
    for name, tensor in state.items():
        parts = _new_names(name)
        if not parts:
            near = nearest(name, [*_WHOLE, *state], n=2)
            hint = f" (near {near[-1]!r})" if len(near) > 1 else ""
            raise FileFormatError(f"no torchvision ViT has a tensor {name!r}{hint}")
        converted |= {new: part.detach().clone() for new, part in zip(parts, tensor.chunk(len(parts)), strict=True)}
    return converted


def check_architecture(state: Mapping[str, Tensor], arch: str) -> None:
    """Raises FileFormatError, naming both values, where a state dict is of another architecture."""
    expected, config = ARCHITECTURES[arch], transformers_config(state)
    for what, field, value in (
        ("width", "hidden_size", expected.width),
        ("layers", "num_hidden_layers", expected.layers),
        ("patch size", "patch_size", expected.patch_size),
    ):
        if config[field] != value:
            raise FileFormatError(f"the state dict has {what} {config[field]}, {arch} has {value}")


def published_weights(arch: str, weights: str) -> dict[str, Tensor]:
    """The state dict that torchvision publishes under a name such as IMAGENET1K_V1, from its cache or the net.

    Raises UserError for a name that does not exist, and where the file cannot be had.
    """
    try:
        from torchvision.models import get_model_weights
    except ImportError as error:
        raise UserError(f"{arch} needs torchvision: pip install 'lora-ensemble[vision]'") from error

    known = get_model_weights(arch).__members__
    if weights not in known:
        hint = did_you_mean(weights, known)
        raise UserError(f"{arch} has no weights {weights!r}.{hint} There are {', '.join(known)}, or a local file.")
    try:
        state: dict[str, Tensor] = known[weights].get_state_dict(progress=False, check_hash=True, weights_only=True)
        return state
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"torchvision's weights {arch} {weights} cannot be had from {known[weights].url} ({error}); "
            "download the file and give its path"
        ) from error


def read_pickle(path: Path) -> Any:
    """The tensors in a file that torch.save wrote, on the CPU; what else a pickle could do is refused.

    Raises FileFormatError for a file that is missing, truncated or holds anything but tensors and containers."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileFormatError(f"{path} does not exist") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, LookupError, TypeError) as error:
        raise FileFormatError(f"{path} holds no weights: {first_line(error)}") from error


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict in a local file. Raises FileFormatError for anything else."""
    state = read_pickle(path)
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise FileFormatError(f"{path} holds a {type(state).__name__}, expected a state dict")
    return state


def _new_names(name: str) -> list[str]:
    """Where a tensor goes; a fused one in three equal parts, an unknown one nowhere."""
    path, _, kind = name.rpartition(".")
    if name in _WHOLE:
        return [_WHOLE[name]]
    if path in _WHOLE and kind in ("weight", "bias"):
        return [f"{_WHOLE[path]}.{kind}"]
    if not (inside := _IN_BLOCK.fullmatch(name)):
        return []
    block, rest = f"vit.encoder.layer.{inside[1]}", inside[2]
    if fused := _FUSED.fullmatch(rest):
        return [f"{block}.attention.attention.{part}.{fused[1]}" for part in ("query", "key", "value")]
    path, _, kind = rest.rpartition(".")
    return [f"{block}.{_BLOCK[path]}.{kind}"] if path in _BLOCK and kind in ("weight", "bias") else []


def _tensor(state: Mapping[str, Tensor], name: str, dimensions: int) -> Tensor:
    tensor = state.get(name)
    if not isinstance(tensor, Tensor) or tensor.ndim != dimensions:
        problem = "is missing" if tensor is None else "has a wrong shape"
        raise FileFormatError(f"no torchvision ViT: {name!r} {problem}")
    return tensor
