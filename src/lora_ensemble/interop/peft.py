"""Anybody's PEFT adapters as members of an ensemble."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig
from peft.utils.other import get_pattern_key
from torch import Tensor, nn
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming

from lora_ensemble.engine import surgery
from lora_ensemble.engine.adapters import CONFIG, HEADS_OF_TASKS, PREFIX, WEIGHTS, check_shapes, whole
from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.saving import local_folder, read_json, read_tensors
from lora_ensemble.engine.wrapping import unwrapped
from lora_ensemble.errors import ConfigurationError, FileFormatError, first_line

_NEEDS_OTHER_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Values of init_lora_weights that change the weights of the base model."""

_NOT_YET = {
    "use_dora": "its update depends on the norms of the merged weight",
    "lora_bias": "members have no bias of their own in adapted layers",
    "bias": "members have no bias of their own in adapted layers",
    "alora_invocation_tokens": "its update depends on where in the text a token is",
    "init_lora_weights": "it changes the weights of the base model, which members share",
    "target_parameters": "it adapts parameters that are no layer",
    "trainable_token_indices": "it trains embeddings",
    "layer_replication": "it changes the base model",
    "use_qalora": "its update is of pooled inputs",
    "use_bdlora": "its updates are block-diagonal",
    "velora_config": "its gradients are compressed",
    "monteclora_config": "its updates are random",
    "arrow_config": "it chooses among adapters for each token",
    "kasa_config": "it changes the weights of the base model, which members share",
}
"""Fields of PEFT's configuration that an adapter must not have, and why."""

_UNKNOWN_PARTS = {
    "lora_embedding_": "it adapts embeddings",
    "lora_magnitude_vector": "its update depends on the norms of the merged weight",
    "lora_bias": "members have no bias of their own in adapted layers",
    "trainable_tokens": "it trains embeddings",
}
_UNKNOWN_PART = re.compile(rf"\.({'|'.join(_UNKNOWN_PARTS)})")


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
    """See LoraEnsemble.from_peft. Scales that differ are folded into B, ranks that differ filled up with zeros. A model
    whose adapters do not fit stays as it was."""
    adapters = [adapters] if isinstance(adapters, str | Path) else list(adapters)
    if not adapters:
        raise ConfigurationError(["adapters: at least one folder is needed"])
    plain = unwrapped(model)
    read = [_read_adapter(local_folder(a), plain) for a in adapters]
    _warn_of_another_base(read, plain)
    first = read[0]
    ranks = _ranks(read)
    r = max(ranks.values())
    scale = next(iter(first.scales.values()))
    smaller = {f"^{re.escape(path)}": rank for path, rank in ranks.items() if rank != r}
    fields: dict[str, Any] = {
        "members": len(read),
        "r": r,
        "lora_alpha": whole(scale * r),
        "target_modules": sorted(ranks),
        "rank_pattern": smaller,
        "alpha_pattern": {key: whole(scale * rank) for key, rank in smaller.items()},
        "lora_dropout": first.config.lora_dropout,
        "modules_to_save": _heads(read, plain),
        "task_type": first.config.task_type,
        "head_init": "copy",
        "fused_qkv": "joint",
    }
    with surgery.unchanged_on_error(model):
        ensemble = LoraEnsemble(model, LoraEnsembleConfig(**(fields | changes)))
        for m, adapter in enumerate(read):
            _fill(ensemble, m, adapter)
    return ensemble


def _read_adapter(folder: Path, model: nn.Module) -> Adapter:
    config = _read_config(folder)
    rename = _renaming(model)
    tensors, scales = {}, {}
    for name, tensor in read_weights(folder).items():
        own = name.removeprefix(PREFIX)
        if ".base_layer." in own:  # a copy of the base model's output layer
            continue
        if part := _UNKNOWN_PART.search(own):
            raise ConfigurationError([f"{folder}: {own} is not supported yet: {_UNKNOWN_PARTS[part[1]]}"])
        tensors[rename(own)] = tensor
        if own.endswith(".lora_A.weight"):
            r, scales[_module_of(rename(own))] = _rank_and_scale(config, _module_of(own))
            if tensor.shape[0] != r:
                raise FileFormatError(f"{folder}: {own} is of rank {tensor.shape[0]}, {CONFIG} says r = {r}")
    if not scales:
        raise FileFormatError(f"{folder} holds no LoRA weights (lora_A, lora_B)")
    return Adapter(str(folder), config, tensors, scales)


def _read_config(folder: Path) -> LoraConfig:
    """Raises FileFormatError for what is no configuration of a LoRA adapter, ConfigurationError for parts of one that
    are not supported yet."""
    kind = read_json(folder / CONFIG).get("peft_type")
    if kind != "LORA":
        raise FileFormatError(f"{folder} holds a PEFT adapter of type {kind}, expected LORA")
    try:
        config = LoraConfig.from_pretrained(str(folder))
        for value in (config.r, config.lora_alpha, *config.rank_pattern.values(), *config.alpha_pattern.values()):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{value!r} where a number is expected")
    except (TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"{folder / CONFIG} is no configuration of a LoRA adapter: {first_line(error)}") from None
    values = {name: getattr(config, name, None) for name in _NOT_YET}
    harmless = {"bias": config.bias == "none"}
    harmless["init_lora_weights"] = not str(config.init_lora_weights).startswith(_NEEDS_OTHER_BASE)
    problems = [n for n, value in values.items() if not harmless.get(n, value is None or value is False)]
    if problems:
        raise ConfigurationError(
            [f"{folder}: {n} = {values[n]!r} is not supported yet: {_NOT_YET[n]}" for n in problems]
        )
    supported: LoraConfig = config
    return supported


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Of adapter_model.safetensors, or of the older adapter_model.bin, of which nothing but tensors is read."""
    old = folder / "adapter_model.bin"
    if (folder / WEIGHTS).exists() or not old.exists():
        return read_tensors(folder / WEIGHTS)
    try:
        tensors = torch.load(old, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and zipfile each have their own
        raise FileFormatError(f"{old} is no file of tensors: {first_line(error)}") from None
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise FileFormatError(f"{old} is no file of tensors")
    return tensors


def _warn_of_another_base(adapters: Sequence[Adapter], model: nn.Module) -> None:
    """Where an adapter names a base model, and the model another; of two paths or ids the last parts are compared."""
    own = getattr(getattr(model, "config", None), "name_or_path", None)
    for adapter in adapters:
        base = adapter.config.base_model_name_or_path
        if own and base and Path(base).name != Path(own).name:
            warnings.warn(f"{adapter.name} was trained over {base}; the model is {own}", UserWarning, stacklevel=4)


def _heads(adapters: Sequence[Adapter], model: nn.Module) -> list[str]:
    """Modules that adapters hold whole. PEFT takes for one each that ends with a name in modules_to_save (and has names
    of its own for some tasks); there may be names of other architectures."""
    heads: dict[str, None] = {}
    for adapter in adapters:
        names = tuple({*(adapter.config.modules_to_save or ()), *HEADS_OF_TASKS.get(str(adapter.config.task_type), ())})
        holding = {_module_of(name) for name in adapter.tensors if ".lora_" not in name}
        for path, _ in model.named_modules():
            within = any(path.startswith(f"{head}.") for head in heads)
            if path.endswith(names) and not within and any(f"{h}.".startswith(f"{path}.") for h in holding):
                heads[path] = None
    return list(heads)


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


def _rank_and_scale(config: LoraConfig, path: str) -> tuple[float, float]:
    """What the configuration says of a module: r, and alpha / r (or alpha / sqrt(r))."""

    def at(patterns: dict[str, Any] | None, default: Any) -> float:
        value: float = (patterns or {}).get(get_pattern_key(list(patterns or {}), path), default)
        return value

    r, alpha = at(config.rank_pattern, config.r), at(config.alpha_pattern, config.lora_alpha)
    if not r >= 1:
        raise FileFormatError(f"{CONFIG} says r = {r} of {path}: a rank is at least 1")
    return r, alpha / (math.sqrt(r) if config.use_rslora else r)


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
