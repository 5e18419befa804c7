"""What the weights files of AST_Former and Explicit_AST hold, brought into order and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from lora_ensemble.errors import FileFormatError
from lora_ensemble.interop.prs_eth.tensors import Heads, expect, shape_of

PROJECTIONS = {"qkv": 3, "proj": 1}
"""The adapted layers of a block, in the order of the model, and how many times the width their output is."""

PATCH_EMBEDDING, POSITIONS = "patch_embedding", "positions"
_LORA = re.compile(r"blocks_(\d+)_(qkv|proj)_w_([ab])\.weight")
_HEAD = ("mlp_head_ln.weight", "mlp_head_ln.bias", "mlp_head_linear.weight", "mlp_head_linear.bias")
_TRAINED = {
    "pos_embed": "position_embeddings",
    "patch_embed_proj.weight": "patch_embeddings.projection.weight",
    "patch_embed_proj.bias": "patch_embeddings.projection.bias",
}
"""What is trained where train_pos or train_conv is true; the convolution is in the file a second time."""

_TOKENS = ("cls_token", "pos_embed", "dist_token")
_BLOCK = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
_AFTER = ("norm", "head", "head_dist", "mlp_head.0", "mlp_head.1")


@dataclass(frozen=True)
class AstLoraFile:
    """A file of AST_Former: low-rank matrices by layer and projection, A (M, R, D), B (M, D or 3 D, R)."""

    low_rank: Mapping[tuple[int, str], tuple[Tensor, Tensor]]
    norm: tuple[Tensor, Tensor]
    """Weight and bias of the layer norm before the head, (D,) or each member's own, (M, D)."""
    heads: Heads
    trained: Mapping[str, Tensor]
    """What else is trained, by its name among the embeddings of transformers' model."""

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.low_rank) // len(PROJECTIONS)

    @property
    def r(self) -> int:
        """Rank."""
        return self.low_rank[0, "qkv"][0].shape[1]


@dataclass(frozen=True)
class AstDeepFile:
    """A file of Explicit_AST: the state dict of each member, under the names of timm 0.4.5 and `mlp_head`."""

    networks: Sequence[dict[str, Tensor]]


def is_ast_lora(state: Mapping[str, Tensor]) -> bool:
    """Whether a file is of AST_Former. Raises FileFormatError for one of ASTMCDropout."""
    if "v.dist_token" in state:
        raise FileFormatError("is of ASTMCDropout, whose heads are neither trained nor saved: it has no predictions")
    return any(map(_LORA.fullmatch, state))


def read_ast_lora(state: Mapping[str, Tensor]) -> AstLoraFile:
    """Raises FileFormatError for tensors that are missing, unknown or of shapes that do not fit."""
    found: dict[tuple[int, str], dict[str, Tensor]] = {}
    rest = {name: tensor for name, tensor in state.items() if not name.startswith("patch_embed.proj.")}
    for name in list(rest):
        if match := _LORA.fullmatch(name):
            found.setdefault((int(match[1]), match[2]), {})[match[3]] = rest.pop(name)
    layers = 1 + max(layer for layer, _ in found)
    for layer, p in ((layer, p) for layer in range(layers) for p in PROJECTIONS):
        for part in "ab":
            if part not in found.get((layer, p), {}):
                raise FileFormatError(f"blocks_{layer}_{p}_w_{part}.weight is missing")
    members, r, width = shape_of(found[0, "qkv"]["a"], "blocks_0_qkv_w_a.weight", 3)
    for (layer, p), parts in found.items():
        expect(f"blocks_{layer}_{p}_w_a.weight", parts["a"], (members, r, width))
        expect(f"blocks_{layer}_{p}_w_b.weight", parts["b"], (members, PROJECTIONS[p] * width, r))
    if missing := [name for name in _HEAD if name not in rest]:
        raise FileFormatError(f"{missing[0]} is missing")
    norm_weight, norm_bias, weight, bias = (rest.pop(name) for name in _HEAD)
    _, classes, _ = shape_of(weight, "mlp_head_linear.weight", 3)
    expect("mlp_head_linear.weight", weight, (members, classes, width))
    expect("mlp_head_linear.bias", bias, (members, classes))
    own = () if norm_weight.ndim == 1 else (members,)
    for name, tensor in (("weight", norm_weight), ("bias", norm_bias)):
        expect(f"mlp_head_ln.{name}", tensor, (*own, width))
    trained = {ours: rest.pop(name) for name, ours in _TRAINED.items() if name in rest}
    if rest:
        raise FileFormatError(f"unknown tensor {min(rest)!r}")
    low_rank = {key: (parts["a"], parts["b"]) for key, parts in found.items()}
    return AstLoraFile(low_rank, (norm_weight, norm_bias), Heads(weight, bias), trained)


def is_ast_networks(tensors: Sequence[Tensor]) -> bool:
    """Whether a list of parameters begins as an AST does: class token, positions, distillation token."""
    return len(tensors) > 2 and all(tensors[i].shape[:2] == (1, 1) for i in (0, 2))


def read_ast_networks(tensors: Sequence[Tensor]) -> AstDeepFile:
    """Members begin with the class token, the only tensor of shape (1, 1, D) two before another."""
    tensors = [t.detach() for t in tensors]
    starts = [i for i in range(len(tensors) - 2) if is_ast_networks(tensors[i : i + 3])]
    size = len(tensors) / len(starts)
    layers = (size - len(_names(0))) / (2 * len(_BLOCK))
    if starts != [int(i * size) for i in range(len(starts))] or not layers.is_integer() or layers < 1:
        raise FileFormatError(f"{len(tensors)} tensors are no whole AST networks: {len(starts)} of them begin there")
    names = _names(int(layers))
    return AstDeepFile([dict(zip(names, tensors[start : start + len(names)], strict=True)) for start in starts])


def _names(layers: int) -> list[str]:
    """Names of the parameters of the published AST, in the order of `parameters()`; each module has two."""
    blocks = [f"blocks.{i}.{name}" for i in range(layers) for name in _BLOCK]
    modules = ["patch_embed.proj", *blocks, *_AFTER]
    return [*_TOKENS, *(f"{module}.{kind}" for module in modules for kind in ("weight", "bias"))]
