"""Anybody's PEFT adapters as members of an ensemble."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from peft import LoraConfig
from peft.utils.other import get_pattern_key
from torch import Tensor, nn
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming

from lora_ensemble.engine import surgery
from lora_ensemble.engine.adapters import CONFIG, PREFIX, WEIGHTS, check_shapes, whole
from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.saving import local_folder, read_json, read_tensors
from lora_ensemble.engine.wrapping import unwrapped
from lora_ensemble.errors import ConfigurationError, FileFormatError

_NEEDS_OTHER_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Values of init_lora_weights that change the weights of the base model."""


@dataclass(frozen=True)
class Adapter:
    """One PEFT adapter folder in memory, its modules named as the model names them."""

    name: str
    config: LoraConfig
    tensors: dict[str, Tensor]
    """By path of the module and name of the tensor within it, as in "q_proj.lora_A.weight"."""
    scales: dict[str, float]
    """alpha / r (or alpha / sqrt(r)) of each adapted module."""


def from_adapters(model: nn.Module, adapters: str | Path | Sequence[str | Path], **changes: Any) -> LoraEnsemble:
    """See LoraEnsemble.from_peft. Scales that differ are folded into B, ranks that differ filled up with zeros."""
    adapters = [adapters] if isinstance(adapters, str | Path) else list(adapters)
    if not adapters:
        raise ConfigurationError(["adapters: at least one folder is needed"])
    plain = unwrapped(model)
    read = [_read_adapter(local_folder(a), plain) for a in adapters]
    first = read[0]
    ranks = _ranks(read)
    r = max(ranks.values())
    scale = next(iter(first.scales.values()))
    # PEFT lists heads of other architectures as well.
    heads = [h for h in {n: None for a in read for n in a.config.modules_to_save or ()} if surgery.ending(plain, h)]
    smaller = {f"^{re.escape(path)}": rank for path, rank in ranks.items() if rank != r}
    config = LoraEnsembleConfig(
        members=len(read),
        r=r,
        lora_alpha=whole(scale * r),
        target_modules=sorted(ranks),
        rank_pattern=smaller,
        alpha_pattern={key: whole(scale * rank) for key, rank in smaller.items()},
        lora_dropout=first.config.lora_dropout,
        modules_to_save=heads,
        task_type=first.config.task_type,
        head_init="copy",
        fused_qkv="joint",
        **changes,
    )
    ensemble = LoraEnsemble(model, config)
    for m, adapter in enumerate(read):
        _fill(ensemble, m, adapter)
    return ensemble


def _read_adapter(folder: Path, model: nn.Module) -> Adapter:
    kind = read_json(folder / CONFIG).get("peft_type")
    if kind != "LORA":
        raise FileFormatError(f"{folder} holds a PEFT adapter of type {kind}, expected LORA")
    config = LoraConfig.from_pretrained(str(folder))
    problems = [n for n in ("use_dora", "lora_bias", "alora_invocation_tokens") if getattr(config, n, None)]
    problems += [] if config.bias == "none" else ["bias"]
    problems += ["init_lora_weights"] if str(config.init_lora_weights).startswith(_NEEDS_OTHER_BASE) else []
    if problems:
        raise ConfigurationError(
            [f"{folder}: {n} = {getattr(config, n)!r} has no meaning for an ensemble" for n in problems]
        )
    rename = _renaming(model)
    tensors, scales = {}, {}
    for name, tensor in read_tensors(folder / WEIGHTS).items():
        own = name.removeprefix(PREFIX)
        if ".base_layer." in own:  # a copy of the base model's output layer
            continue
        tensors[rename(own)] = tensor
        if own.endswith(".lora_A.weight"):
            scales[_module_of(rename(own))] = _scale(config, _module_of(own))
    if not scales:
        raise FileFormatError(f"{folder / WEIGHTS} holds no LoRA weights (lora_A, lora_B)")
    return Adapter(str(folder), config, tensors, scales)


def _renaming(model: nn.Module) -> Callable[[str], str]:
    """From the name of a tensor in a file to its name in the model: transformers 5 renamed modules of many models."""
    paths = {name for name, _ in model.named_modules()}
    rules = [rule for rule in get_model_conversion_mapping(cast(Any, model)) if type(rule) is WeightRenaming]

    def rename(name: str) -> str:
        if _module_of(name) in paths:
            return name
        for rule in rules:
            name = rule.rename_source_key(name)[0]
        return name

    return rename


def _module_of(name: str) -> str:
    return re.sub(r"(\.lora_[AB])?\.(weight|bias)$", "", name)


def _ranks(adapters: Sequence[Adapter]) -> dict[str, int]:
    """The largest rank of each adapted layer."""
    ranks: dict[str, int] = {}
    for adapter in adapters:
        for path in adapter.scales:
            ranks[path] = max(ranks.get(path, 0), adapter.tensors[f"{path}.lora_A.weight"].shape[0])
    return ranks


def _scale(config: LoraConfig, path: str) -> float:
    def at(patterns: dict[str, Any] | None, default: Any) -> float:
        return (patterns or {}).get(get_pattern_key(list(patterns or {}), path), default)

    r, alpha = at(config.rank_pattern, config.r), at(config.alpha_pattern, config.lora_alpha)
    return alpha / (math.sqrt(r) if config.use_rslora else r)


def _fill(ensemble: LoraEnsemble, m: int, adapter: Adapter) -> None:
    """Put one adapter into member m. What it does not adapt keeps B = 0; a head that it lacks stays the model's."""
    left = dict(adapter.tensors)
    for path, layer in ensemble.member_layers():
        expected = layer.member_state(m)
        own = {name: left.pop(f"{path}.{name}") for name in expected if f"{path}.{name}" in left}
        if not own:
            continue
        if own.keys() != expected.keys():
            raise FileFormatError(f"{adapter.name}: {path} lacks {', '.join(sorted(expected.keys() - own.keys()))}")
        if path in adapter.scales:
            rank = own["lora_A.weight"].shape[0]  # a smaller one is filled up with zeros
            expected = {
                "lora_A.weight": expected["lora_A.weight"][:rank],
                "lora_B.weight": expected["lora_B.weight"][:, :rank],
            }
        check_shapes(adapter.name, path, own, expected)
        if path in adapter.scales:
            factor = adapter.scales[path] / ensemble.targets[path].scale
            own["lora_B.weight"] = own["lora_B.weight"] * factor
        layer.load_member_state(m, own)
    if left:
        raise FileFormatError(f"{adapter.name}: the model has no layer for {min(left)} ({len(left)} tensors in all)")
