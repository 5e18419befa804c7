"""Which layers a configuration adapts, and with which rank and scale: PEFT's rules, one better default."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key
from torch import nn

from lora_ensemble.engine import surgery
from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.errors import NoMatchError

_FUSED = ("qkv", "to_qkv", "c_attn", "Wqkv", "wqkv", "qkv_proj", "in_proj")
"""Names of fused projections whose output is q, then k, then v, in equal contiguous parts."""


@dataclass(frozen=True)
class Target:
    """One layer to adapt. scale: alpha / r, or alpha / sqrt(r) with rslora. splits: parts of a fused projection."""

    path: str
    r: int
    alpha: float
    scale: float
    splits: int


def find_targets(model: nn.Module, config: LoraEnsembleConfig) -> list[Target]:
    """The layers to adapt; fills in what `config` leaves open. Raises NoMatchError, listing what there is, when nothing
    matches."""
    names = config.target_modules
    if names is None:
        config.target_modules = short_names(model, surgery.attention_projections(model))  # type: ignore[assignment]
    elif names == "all-linear":
        config.target_modules = short_names(model, _all_linear(model))  # type: ignore[assignment]
    elif not isinstance(names, str):
        surgery.matching(model, sorted(names), "target module")
    paths = _matched(model, config)
    if not paths and config.layers_to_transform is not None and config.layers_pattern is None:
        # PEFT looks for the block's number below some parent; in timm, blocks are at the top.
        config.layers_pattern = _containers(model, config)
        paths = _matched(model, config)
    if not paths:
        raise _nothing_left(model, config, names)
    _check_used(model, config, paths)
    return [_target(model, path, config) for path in paths]


def _matched(model: nn.Module, config: LoraEnsembleConfig) -> list[str]:
    return [p for p in surgery.linears(model) if check_target_module_exists(config, p)]


def _containers(model: nn.Module, config: LoraEnsembleConfig) -> list[str]:
    """Names of the lists of blocks that hold the target modules."""
    whole = copy.copy(config)
    whole.layers_to_transform = None
    return sorted({block.split(".")[-2] for block in surgery.blocks(model, _matched(model, whole)) if "." in block})


def short_names(model: nn.Module, paths: Iterable[str]) -> set[str]:
    """The shortest endings of paths that name these layers and no other module (PEFT also adapts convolutions). PEFT
    applies layers_to_transform to endings only, not to full paths."""
    wanted = set(paths)
    taken = {ending for other, _ in model.named_modules() if other not in wanted for ending in _endings(other)}
    return {next((ending for ending in _endings(path) if ending not in taken), path) for path in wanted}


def _endings(path: str) -> list[str]:
    """Of a.b.c: c, b.c and a.b.c."""
    parts = path.split(".")
    return [".".join(parts[i:]) for i in reversed(range(len(parts)))]


def _all_linear(model: nn.Module) -> list[str]:
    head, output = surgery.find_head(model), surgery.output_layer(model)
    return [
        p
        for p in surgery.linears(model)
        if not (head and f"{p}.".startswith(f"{head}.")) and model.get_submodule(p) is not output
    ]


def _check_used(model: nn.Module, config: LoraEnsembleConfig, paths: list[str]) -> None:
    """Raises NoMatchError for a block's number or a key of rank_pattern or alpha_pattern that no adapted layer has."""
    for field in ("rank_pattern", "alpha_pattern"):
        for key in getattr(config, field) or {}:
            if not any(get_pattern_key([key], path) == key for path in paths):
                raise surgery.nothing_matches(f"adapted layer for {field}[{key!r}]", key, paths)
    numbers = config.layers_to_transform
    for number in numbers if isinstance(numbers, list) else []:
        one = copy.copy(config)
        one.layers_to_transform = [number]
        if not _matched(model, one):
            raise surgery.nothing_matches(f"block {number} of layers_to_transform = {numbers}", "", paths)


def _target(model: nn.Module, path: str, config: LoraEnsembleConfig) -> Target:
    r = int(_pattern(config.rank_pattern, path, config.r))
    alpha = float(_pattern(config.alpha_pattern, path, config.lora_alpha))
    if type(model.get_submodule(path.rpartition(".")[0])) is nn.MultiheadAttention:
        raise NoMatchError(f"{path} is part of a torch.nn.MultiheadAttention, which never calls it; name other layers")
    width_in, width_out = surgery.in_out(model.get_submodule(path))
    fused = path.rpartition(".")[2] in _FUSED and width_out == 3 * width_in and config.fused_qkv == "separate"
    return Target(path, r, alpha, alpha / (math.sqrt(r) if config.use_rslora else r), 3 if fused else 1)


def _pattern(patterns: dict[str, Any] | None, path: str, default: Any) -> Any:
    return (patterns or {}).get(get_pattern_key(list(patterns or {}), path), default)


def _nothing_left(model: nn.Module, config: LoraEnsembleConfig, names: Any) -> NoMatchError:
    limits = ("exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save")
    given = {field: getattr(config, field) for field in limits if getattr(config, field)}
    what = ", ".join(f"{field} = {value!r}" for field, value in {"target_modules": names, **given}.items())
    return surgery.nothing_matches(
        f"layer to adapt: {what}", names if isinstance(names, str) else "", surgery.linears(model)
    )
