"""Which layers a configuration adapts, and with which rank and scale: PEFT's rules, one better default."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key
from torch import nn

from lora_ensemble import surgery
from lora_ensemble.config import LoraEnsembleConfig

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
    """The layers to adapt. Raises NoMatchError, listing what there is, when nothing matches."""
    names = config.target_modules
    if names is None:
        config.target_modules = set(short_names(model, surgery.attention_projections(model)))
    elif names == "all-linear":
        config.target_modules = set(_all_linear(model))
    elif not isinstance(names, str):
        surgery.matching(model, sorted(names), "target module")
    paths = [p for p in surgery.linears(model) if check_target_module_exists(config, p)]
    if not paths:
        raise _nothing_left(model, config, names)
    return [_target(model, path, config) for path in paths]


def short_names(model: nn.Module, paths: Iterable[str]) -> list[str]:
    """The shortest endings (one or two components) that name exactly these layers, else the full paths."""
    paths = set(paths)
    everything = surgery.linears(model)
    for components in (1, 2):
        endings = {".".join(p.split(".")[-components:]) for p in paths}
        if {p for p in everything if ".".join(p.split(".")[-components:]) in endings} == paths:
            return sorted(endings)
    return sorted(paths)


def _all_linear(model: nn.Module) -> list[str]:
    head = surgery.find_head(model)
    output = getattr(model, "get_output_embeddings", lambda: None)()
    return [
        p
        for p in surgery.linears(model)
        if not (head and (p == head or p.startswith(f"{head}."))) and model.get_submodule(p) is not output
    ]


def _target(model: nn.Module, path: str, config: LoraEnsembleConfig) -> Target:
    r = int(_pattern(config.rank_pattern, path, config.r))
    alpha = float(_pattern(config.alpha_pattern, path, config.lora_alpha))
    width_in, width_out = surgery.in_out(model.get_submodule(path))
    fused = path.rpartition(".")[2] in _FUSED and width_out == 3 * width_in and config.fused_qkv == "separate"
    return Target(path, r, alpha, alpha / (math.sqrt(r) if config.use_rslora else r), 3 if fused else 1)


def _pattern(patterns: dict[str, Any] | None, path: str, default: Any) -> Any:
    return (patterns or {}).get(get_pattern_key(list(patterns or {}), path), default)


def _nothing_left(model: nn.Module, config: LoraEnsembleConfig, names: Any) -> Exception:
    limits = {
        k: v
        for k, v in (
            ("exclude_modules", config.exclude_modules),
            ("layers_to_transform", config.layers_to_transform),
        )
        if v is not None
    }
    what = f"layer to adapt: target_modules = {names!r}" + "".join(
        f", {k} = {v!r}" for k, v in limits.items()
    )
    return surgery.nothing_matches(what, names if isinstance(names, str) else "", surgery.linears(model))
