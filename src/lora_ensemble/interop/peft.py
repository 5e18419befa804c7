"""PEFT's format, both ways: one standard adapter folder per member, and anybody's adapters as members."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from peft import LoraConfig
from peft.utils.other import get_pattern_key
from torch import Tensor, nn
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming

from lora_ensemble.engine import surgery
from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.layers import MemberLayer, MemberLinear
from lora_ensemble.engine.saving import (
    local_folder,
    member_folder,
    read_json,
    read_tensors,
    saving,
    write_manifest,
    write_tensors,
)
from lora_ensemble.engine.wrapping import unwrapped
from lora_ensemble.errors import ConfigurationError, FileFormatError

if TYPE_CHECKING:
    from lora_ensemble.engine.lora import LoraEnsemble

PREFIX = "base_model.model."
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

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


def save_adapters(ensemble: LoraEnsemble, folder: Path) -> None:
    """One PEFT folder per member (adapter_config.json, adapter_model.safetensors), then the manifest."""
    config, layers, common = _member_config(ensemble), ensemble.member_layers(), _shared_tensors(ensemble)
    names = [member_folder(ensemble.first_member + m) for m in range(ensemble.members)]
    with saving(folder):
        for m, name in enumerate(names):
            write_tensors(folder / name / WEIGHTS, member_tensors(layers, m) | common)
            config.save_pretrained(str(folder / name))
        write_manifest(ensemble, folder, names, ensemble.config.to_json_dict())


def load_members(ensemble: LoraEnsemble, folders: Sequence[Path]) -> None:
    """The weights of saved members, strict."""
    if len(folders) != ensemble.members:
        raise FileFormatError(f"the manifest lists {len(folders)} folders for {ensemble.members} members")
    layers, common = ensemble.member_layers(), _shared_tensors(ensemble)
    for m, folder in enumerate(folders):
        tensors, expected = read_tensors(folder / WEIGHTS), member_tensors(layers, m) | common
        missing, foreign = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
        if missing or foreign:
            raise FileFormatError(
                f"{folder} does not fit the model: {len(missing)} tensors missing{missing[:1] or ''}, "
                f"{len(foreign)} unknown{foreign[:1] or ''}"
            )
        for path, layer in layers:
            state = layer.member_state(m)
            own = {name: tensors[f"{PREFIX}{path}.{name}"] for name in state}
            _check_shapes(str(folder), path, own, state)
            layer.load_member_state(m, own)
        _load_shared(ensemble, folder, tensors, first=m == 0)


def from_adapters(model: nn.Module, adapters: Sequence[str | Path], **changes: Any) -> LoraEnsemble:
    """See LoraEnsemble.from_peft. Scales that differ are folded into B, ranks that differ filled up with zeros."""
    from lora_ensemble.engine.lora import LoraEnsemble

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
        lora_alpha=_whole(scale * r),
        target_modules=sorted(ranks),
        rank_pattern=smaller,
        alpha_pattern={key: _whole(scale * rank) for key, rank in smaller.items()},
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


def member_tensors(layers: Sequence[tuple[str, MemberLayer]], m: int) -> dict[str, Tensor]:
    """One member's tensors under PEFT's names."""
    return {
        f"{PREFIX}{path}.{name}": tensor.cpu().contiguous()
        for path, layer in layers
        for name, tensor in layer.member_state(m).items()
    }


def _shared_tensors(ensemble: LoraEnsemble) -> dict[str, Tensor]:
    """What members share and train, under PEFT's names: each member's folder has it."""
    return {f"{PREFIX}{path}": tensor.cpu().contiguous() for path, tensor in ensemble.shared_tensors().items()}


def _load_shared(ensemble: LoraEnsemble, folder: Path, tensors: dict[str, Tensor], first: bool) -> None:
    """Take what members share from the first one's folder; make sure that the others have the same."""
    for path, own in ensemble.shared_tensors().items():
        given = tensors[f"{PREFIX}{path}"]
        _check_shapes(str(folder), path, {"tensor": given}, {"tensor": own})
        if not first and not torch.equal(given.to(own), own):
            raise FileFormatError(f"{folder}: {path}, which members share, is not the first member's")
        with torch.no_grad():
            own.copy_(given)


def _member_config(ensemble: LoraEnsemble) -> LoraConfig:
    """PEFT's configuration of one member. A fused projection with S low-rank pairs is one pair of rank S*r to PEFT."""
    c, layers = ensemble.config, ensemble.member_layers()
    ranks, alphas = dict(c.rank_pattern or {}), dict(c.alpha_pattern or {})
    for path, layer in layers:
        if isinstance(layer, MemberLinear) and layer.splits > 1:
            rank = layer.splits * layer.r
            ranks = {f"^{re.escape(path)}": rank} | ranks
            alphas = {f"^{re.escape(path)}": _whole(layer.scale * (math.sqrt(rank) if c.use_rslora else rank))} | alphas
    conv1d = any(not isinstance(x.base_layer, nn.Linear) for _, x in layers if isinstance(x, MemberLinear))
    config = c.peft_config(
        fan_in_fan_out=conv1d,
        rank_pattern=ranks,
        alpha_pattern=alphas,
        modules_to_save=[*ensemble.heads, *ensemble.shared_modules()] or None,
        base_model_name_or_path=ensemble.source.get("name"),
        inference_mode=True,
    )
    if isinstance(config.target_modules, set):  # PEFT would write it in the order of the hashes: each time another file
        config.target_modules = sorted(config.target_modules)
    return config


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
        if isinstance(layer, MemberLinear):
            rank = own["lora_A.weight"].shape[0]  # a smaller one is filled up with zeros
            expected = {
                "lora_A.weight": expected["lora_A.weight"][:rank],
                "lora_B.weight": expected["lora_B.weight"][:, :rank],
            }
        _check_shapes(adapter.name, path, own, expected)
        if isinstance(layer, MemberLinear):
            own["lora_B.weight"] = own["lora_B.weight"] * (adapter.scales[path] / layer.scale)
        layer.load_member_state(m, own)
    if left:
        raise FileFormatError(f"{adapter.name}: the model has no layer for {min(left)} ({len(left)} tensors in all)")


def _check_shapes(name: str, path: str, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for key, tensor in tensors.items():
        if tensor.shape != expected[key].shape:
            shape, needed = tuple(tensor.shape), tuple(expected[key].shape)
            raise FileFormatError(f"{name}: {path}.{key} has shape {shape}, the model needs {needed}")


def _whole(value: float) -> Any:
    return int(value) if float(value).is_integer() else value
