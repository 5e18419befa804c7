"""Ensembles over an Audio Spectrogram Transformer from the files of AST_Former and Explicit_AST."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lora_ensemble.backbones.ast import Ast, from_imagenet
from lora_ensemble.contracts import LoadedBackbone
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.networks import NetworkEnsemble
from lora_ensemble.errors import FileFormatError
from lora_ensemble.interop.prs_eth.ast_formats import PROJECTIONS, AstDeepFile, AstLoraFile
from lora_ensemble.interop.prs_eth.command_line import DEIT
from lora_ensemble.interop.prs_eth.files import Expected
from lora_ensemble.interop.prs_eth.tensors import copy_into
from lora_ensemble.methods.lora import Lora

_MODEL = "audio_spectrogram_transformer"
_PATHS = dict(zip(PROJECTIONS, ("qkv", "o_proj"), strict=True))
_ELSEWHERE = {"library": None, "class": "ASTForAudioClassification"}
"""The source of a backbone that has to be given again."""


def lora_ensemble(
    content: AstLoraFile, frozen: Mapping[str, Tensor] | str | Path | None, expected: Expected
) -> Ensemble:
    """The ensemble of AST_Former over the DeiT that `frozen` holds, by default the published one from the hub."""
    members, classes, _ = content.heads.weight.shape
    expected.check(members=members, r=content.r, num_classes=classes)
    backbone = Ast(
        weights=DEIT["base384"],
        head_norm="shared" if content.norm[0].ndim == 1 else "member",
        fused_qkv=True,
        train_patch_embedding=any("patch" in name for name in content.trained),
        train_position_embedding=any("position" in name for name in content.trained),
    )
    loaded = _loaded(backbone, frozen, classes)
    if (layers := loaded.model.config.num_hidden_layers) != content.layers:  # type: ignore[union-attr]
        raise FileFormatError(f"{content.layers} layers, the backbone has {layers}")
    ensemble = Lora(members=members, r=content.r, fused_qkv="joint").build(loaded, 0)
    model: Any = ensemble.model
    for (layer, projection), (A, B) in content.low_rank.items():
        adapted = model.get_submodule(f"{_MODEL}.layers.{layer}.attention.{_PATHS[projection]}")
        copy_into(adapted.lora_A, A, "low-rank matrices")
        copy_into(adapted.lora_B, B, "low-rank matrices")
    parts = {"layernorm": content.norm, "dense": (content.heads.weight, content.heads.bias)}
    for name, (weight, bias) in parts.items():
        module = model.classifier.get_submodule(name)
        copy_into(module.weight, weight, "heads")
        copy_into(module.bias, bias, "heads")
    for name, tensor in content.trained.items():
        copy_into(model.get_parameter(f"{_MODEL}.embeddings.{name}"), tensor, "embeddings")
    return ensemble


def network_ensemble(content: AstDeepFile, expected: Expected) -> Ensemble:
    """The ensemble of Explicit_AST, whose file holds whole networks."""
    classes, width = content.networks[0]["mlp_head.1.weight"].shape
    expected.check(members=len(content.networks), num_classes=classes)
    ensemble = NetworkEnsemble([_network(state, classes) for state in content.networks], members_per_pass=1)
    published = len(content.networks[0]) == 159 and width == 768  # 12 blocks
    backbone = Ast(weights=DEIT["base384"], head_norm="shared")
    ensemble.source = _source(backbone, classes) if published else _ELSEWHERE
    return ensemble


def _loaded(backbone: Ast, frozen: Mapping[str, Tensor] | str | Path | None, classes: int) -> LoadedBackbone:
    if isinstance(frozen, Mapping):
        loaded = backbone.around(from_imagenet(frozen, classes, backbone.frames), False, classes)
        return dataclasses.replace(loaded, source=_ELSEWHERE)
    return (backbone if frozen is None else dataclasses.replace(backbone, weights=str(frozen))).load(classes)


def _network(state: Mapping[str, Tensor], classes: int) -> Any:
    body = {name: tensor for name, tensor in state.items() if not name.startswith("mlp_head.")}
    model = from_imagenet(body, classes)
    for name, module in (("0", model.classifier.layernorm), ("1", model.classifier.dense)):
        for kind in ("weight", "bias"):
            copy_into(module.get_parameter(kind), state[f"mlp_head.{name}.{kind}"], "heads")
    return model


def _source(backbone: Ast, classes: int) -> dict[str, Any]:
    return {"kind": "ast", "num_classes": classes, **vars(backbone)}
