"""What the three kinds of weights files of prs-eth/LoRA-Ensemble hold, brought into order and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lora_ensemble.conversions.torchvision import read_pickle
from lora_ensemble.errors import FileFormatError
from lora_ensemble.interop.prs_eth.ast_formats import (
    AstDeepFile,
    AstLoraFile,
    is_ast_lora,
    is_ast_networks,
    read_ast_lora,
    read_ast_networks,
)
from lora_ensemble.interop.prs_eth.tensors import Heads, expect, shape_of

PROJECTIONS = ("q", "k", "v", "out")
_LORA = re.compile(r"encoder_layer_(\d+)_(q|k|v|out)_proj_w_([ab])\.weight")
_HEAD = re.compile(r"(?:.*heads\.head\.(?:params\.)?|head_)(weight|bias)")


@dataclass(frozen=True)
class LoraFile:
    """A file of LoRA_Former: low-rank matrices by layer and projection, A (M, R, D), B (M, D, R)."""

    low_rank: Mapping[tuple[int, str], tuple[Tensor, Tensor]]
    heads: Heads

    @property
    def layers(self) -> int:
        """Number of encoder layers."""
        return len(self.low_rank) // len(PROJECTIONS)

    @property
    def r(self) -> int:
        """Rank."""
        return self.low_rank[0, "q"][0].shape[1]


@dataclass(frozen=True)
class DeepFile:
    """A file of Deep_Ensemble: torchvision's state dict of each member."""

    networks: Sequence[dict[str, Tensor]]


@dataclass(frozen=True)
class DropoutFile:
    """A file of MCDropout: torchvision's state dict without the head, and the heads where the file has them."""

    network: dict[str, Tensor]
    heads: Heads | None


PublishedFile = LoraFile | DeepFile | DropoutFile | AstLoraFile | AstDeepFile


def read_weights(path: Path, members: int | None = None) -> PublishedFile:
    """The contents of a `.pt` file. members: for a single head that all members share.

    Raises FileFormatError for anything that none of the published kinds of models writes."""
    content = read_pickle(path)
    try:
        if isinstance(content, list | tuple) and content and all(isinstance(t, Tensor) for t in content):
            return read_ast_networks(content) if is_ast_networks(content) else _deep(content)
        if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
            raise FileFormatError(f"holds a {type(content).__name__}, expected tensors by name, or a list of them")
        state = {name: t.detach() for name, t in content.items() if "base_model" not in name}
        if any(map(_LORA.fullmatch, state)):
            return _lora(state)
        if is_ast_lora(state):
            return read_ast_lora(state)
        return _dropout(state, members)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from None


def _lora(state: Mapping[str, Tensor]) -> LoraFile:
    found: dict[tuple[int, str], dict[str, Tensor]] = {}
    rest = {}
    for name, tensor in state.items():
        if match := _LORA.fullmatch(name):
            found.setdefault((int(match[1]), match[2]), {})[match[3]] = tensor
        else:
            rest[name] = tensor
    layers = 1 + max(layer for layer, _ in found)
    for key in ((layer, p) for layer in range(layers) for p in PROJECTIONS):
        for part in "ab":
            if part not in found.get(key, {}):
                raise FileFormatError(f"encoder_layer_{key[0]}_{key[1]}_proj_w_{part}.weight is missing")
    members, r, width = shape_of(found[0, "q"]["a"], "encoder_layer_0_q_proj_w_a.weight", 3)
    for (layer, p), parts in found.items():
        for part, shape in (("a", (members, r, width)), ("b", (members, width, r))):
            expect(f"encoder_layer_{layer}_{p}_proj_w_{part}.weight", parts[part], shape)
    heads = _heads(rest, members)
    if heads is None:
        raise FileFormatError("head_weight and head_bias are missing")
    expect("head_weight", heads.weight, (members, heads.weight.shape[1], width))
    if rest:
        raise FileFormatError(f"unknown tensor {min(rest)!r}")
    return LoraFile({key: (parts["a"], parts["b"]) for key, parts in found.items()}, heads)


def _deep(tensors: Sequence[Tensor]) -> DeepFile:
    """Members begin with the class token, the only tensor of shape (1, 1, D); torchvision's order of parameters."""
    tensors = [t.detach() for t in tensors]
    starts = [i for i, t in enumerate(tensors) if t.ndim == 3 and t.shape[:2] == (1, 1)]
    size = len(tensors) / max(1, len(starts))
    layers = (size - 8) / 12
    if not starts or starts != [int(i * size) for i in range(len(starts))] or not layers.is_integer() or layers < 1:
        raise FileFormatError(f"{len(tensors)} tensors are no whole networks: {len(starts)} class tokens among them")
    names = parameter_names(int(layers))
    return DeepFile([dict(zip(names, tensors[s : s + len(names)], strict=True)) for s in starts])


def _dropout(state: dict[str, Tensor], members: int | None) -> DropoutFile:
    heads = _heads(state, members)
    network = {re.sub(r"^(vit_model\.)?(model\.)?", "", name): t for name, t in state.items()}
    if "conv_proj.weight" not in network:
        raise FileFormatError("holds neither low-rank matrices nor a torchvision ViT")
    return DropoutFile(network, heads)


def _heads(state: dict[str, Tensor], members: int | None) -> Heads | None:
    """Takes the heads out of a state; an older file's single one is everybody's."""
    found = {match[1]: state.pop(name) for name in list(state) if (match := _HEAD.fullmatch(name))}
    if not found:
        return None
    if found.keys() != {"weight", "bias"}:
        raise FileFormatError(f"the heads have a {min(found)}, and no {min({'weight', 'bias'} - found.keys())}")
    weight, bias = found["weight"], found["bias"]
    if weight.ndim == 2:
        if members is None:
            raise FileFormatError("holds one head for all members; say how many there are: members = ...")
        weight, bias = weight.expand(members, *weight.shape), bias.expand(members, *bias.shape)
    _, classes, _ = shape_of(weight, "head_weight", 3)
    expect("head_bias", bias, (len(weight), classes))
    return Heads(weight, bias)


def parameter_names(layers: int) -> list[str]:
    """Names of the parameters of torchvision's ViT, in the order of `parameters()`."""
    from torchvision.models import VisionTransformer

    with torch.device("meta"):
        network = VisionTransformer(2, 1, layers, num_heads=1, hidden_dim=1, mlp_dim=1)
    return [name for name, _ in network.named_parameters()]
