"""PEFT's format, both ways: one standard adapter folder per member, and anybody's adapters as members."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft import LoraConfig
from peft.utils.other import get_pattern_key
from torch import Tensor, nn

from lora_ensemble.config import LoraEnsembleConfig
from lora_ensemble.errors import ConfigurationError, FileFormatError
from lora_ensemble.layers import MemberLayer, MemberLinear
from lora_ensemble.saving import member_folder, read_json, read_tensors, write_manifest, write_tensors

if TYPE_CHECKING:
    from lora_ensemble.lora import LoraEnsemble

PREFIX = "base_model.model."
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

_OLD_NAMES = tuple(
    (re.compile(rf"encoder\.layer\.(\d+)\.attention\.{old}(?=\.|$)"), rf"layers.\1.attention.{new}")
    for old, new in (
        (r"attention\.query", "q_proj"),
        (r"attention\.key", "k_proj"),
        (r"attention\.value", "v_proj"),
        (r"output\.dense", "o_proj"),
    )
)
"""Names of ViT's and AST's projections before transformers 5, which PEFT itself no longer matches."""


def save_adapters(ensemble: LoraEnsemble, folder: Path) -> None:
    """One PEFT folder per member (adapter_config.json, adapter_model.safetensors), then the manifest."""
    config, layers = _member_config(ensemble), ensemble.member_layers()
    names = [member_folder(ensemble.first_member + m) for m in range(ensemble.members)]
    for m, name in enumerate(names):
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        write_tensors(target / WEIGHTS, member_tensors(layers, m))
        config.save_pretrained(str(target))
    write_manifest(
        ensemble, folder, names, ensemble.config.to_json_dict() | {"modules_to_save": ensemble.heads}
    )


def load_members(ensemble: LoraEnsemble, folders: Sequence[Path]) -> None:
    """The weights of saved members, strict."""
    layers = ensemble.member_layers()
    for m, folder in enumerate(folders):
        tensors, expected = read_tensors(folder / WEIGHTS), member_tensors(layers, m)
        _check_tensors(folder, tensors, expected)
        for path, layer in layers:
            layer.load_member_state(m, _of(path, tensors))


def from_adapters(model: nn.Module, adapters: Sequence[str | Path], **changes: Any) -> LoraEnsemble:
    """See LoraEnsemble.from_peft. Scales that differ are folded into B, ranks that differ filled up with zeros."""
    from lora_ensemble.lora import LoraEnsemble

    if not adapters:
        raise ConfigurationError(["adapters: at least one folder is needed"])
    read = [_read_adapter(Path(a), model) for a in adapters]
    first = read[0][0]
    ranks = _ranks([tensors for _, tensors in read])
    r = max(ranks.values())
    scale = _scale(first, next(iter(ranks)))
    heads = sorted({name for config, _ in read for name in config.modules_to_save or ()})
    config = LoraEnsembleConfig(
        members=len(read),
        r=r,
        lora_alpha=_whole(scale * r),
        target_modules=sorted(ranks),
        rank_pattern={f"^{re.escape(p)}": k for p, k in ranks.items() if k != r},
        alpha_pattern={f"^{re.escape(p)}": _whole(scale * k) for p, k in ranks.items() if k != r},
        lora_dropout=first.lora_dropout,
        modules_to_save=heads,
        task_type=first.task_type,
        head_init="copy",
        fused_qkv="joint",
        **changes,
    )
    ensemble = LoraEnsemble(model, config)
    for m, (own, tensors) in enumerate(read):
        _fill(ensemble, m, own, tensors, str(adapters[m]))
    return ensemble


def member_tensors(layers: Sequence[tuple[str, MemberLayer]], m: int) -> dict[str, Tensor]:
    """One member's tensors under PEFT's names."""
    return {
        f"{PREFIX}{path}.{name}": tensor.cpu().contiguous()
        for path, layer in layers
        for name, tensor in layer.member_state(m).items()
    }


def _member_config(ensemble: LoraEnsemble) -> LoraConfig:
    """PEFT's configuration of one member. A fused projection with S low-rank pairs is one pair of rank S*r to PEFT."""
    c = ensemble.config
    ranks, alphas = dict(c.rank_pattern or {}), dict(c.alpha_pattern or {})
    for path, layer in ensemble.member_layers():
        if isinstance(layer, MemberLinear) and layer.splits > 1:
            rank = layer.splits * layer.r
            ranks = {f"^{re.escape(path)}": rank} | ranks
            alphas = {
                f"^{re.escape(path)}": _whole(layer.scale * (math.sqrt(rank) if c.use_rslora else rank))
            } | alphas
    return c.peft_config(
        rank_pattern=ranks,
        alpha_pattern=alphas,
        modules_to_save=ensemble.heads or None,
        base_model_name_or_path=ensemble.source.get("name"),
        inference_mode=True,
    )


def _read_adapter(folder: Path, model: nn.Module) -> tuple[LoraConfig, dict[str, Tensor]]:
    """Configuration and tensors of one adapter folder, the names those of `model`."""
    kind = read_json(folder / CONFIG).get("peft_type")
    if kind != "LORA":
        raise FileFormatError(f"{folder} holds a PEFT adapter of type {kind}, expected LORA")
    config = LoraConfig.from_pretrained(str(folder))
    unsupported = [
        n for n in ("use_dora", "lora_bias", "alora_invocation_tokens") if getattr(config, n, None)
    ]
    if unsupported:
        raise ConfigurationError([f"{folder}: {name} has no meaning for an ensemble" for name in unsupported])
    paths = {name for name, _ in model.named_modules()}
    tensors = {
        _current_name(n.removeprefix(PREFIX), paths): t for n, t in read_tensors(folder / WEIGHTS).items()
    }
    return config, {n: t for n, t in tensors.items() if ".base_layer." not in n}


def _current_name(name: str, paths: set[str]) -> str:
    if _module_of(name) in paths:
        return name
    for old, new in _OLD_NAMES:
        renamed = old.sub(new, name)
        if renamed != name:
            return renamed
    return name


def _module_of(name: str) -> str:
    return re.sub(r"(\.lora_[AB])?\.(weight|bias)$", "", name)


def _ranks(adapters: Sequence[dict[str, Tensor]]) -> dict[str, int]:
    """The largest rank of each adapted layer."""
    ranks: dict[str, int] = {}
    for tensors in adapters:
        for name, tensor in tensors.items():
            if name.endswith(".lora_A.weight"):
                path = _module_of(name)
                ranks[path] = max(ranks.get(path, 0), tensor.shape[0])
    if not ranks:
        raise FileFormatError("the adapters hold no LoRA weights (lora_A, lora_B)")
    return ranks


def _scale(config: LoraConfig, path: str) -> float:
    def at(patterns: dict[str, Any] | None, default: Any) -> float:
        return (patterns or {}).get(get_pattern_key(list(patterns or {}), path), default)

    r, alpha = at(config.rank_pattern, config.r), at(config.alpha_pattern, config.lora_alpha)
    return alpha / (math.sqrt(r) if config.use_rslora else r)


def _fill(ensemble: LoraEnsemble, m: int, config: LoraConfig, tensors: dict[str, Tensor], name: str) -> None:
    """Put one adapter into member m. A layer that it does not adapt keeps B = 0; a head that it lacks, the model's own."""
    known: set[str] = set()
    for path, layer in ensemble.member_layers():
        own = _of(path, tensors, prefix="")
        known |= {f"{path}.{suffix}" for suffix in own}
        if not own:
            continue
        expected = layer.member_state(m)
        for suffix, tensor in own.items():
            wide = tensor.shape[-1] if suffix != "lora_B.weight" else tensor.shape[0]
            want = expected[suffix].shape[-1] if suffix != "lora_B.weight" else expected[suffix].shape[0]
            rows_differ = suffix in ("weight", "bias") and tensor.shape != expected[suffix].shape
            if wide != want or rows_differ:
                raise FileFormatError(
                    f"{name}: {path}.{suffix} has shape {tuple(tensor.shape)}, the model needs {tuple(expected[suffix].shape)}"
                )
        if isinstance(layer, MemberLinear):
            own = own | {"lora_B.weight": own["lora_B.weight"] * (_scale(config, path) / layer.scale)}
        layer.load_member_state(m, own)
    foreign = sorted(tensors.keys() - known)
    if foreign:
        raise FileFormatError(
            f"{name}: the model has no layer for {foreign[0]} (and {len(foreign) - 1} more tensors)"
        )


def _of(path: str, tensors: dict[str, Tensor], prefix: str = PREFIX) -> dict[str, Tensor]:
    start = f"{prefix}{path}."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


def _check_tensors(folder: Path, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    missing, foreign = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or foreign:
        raise FileFormatError(
            f"{folder} does not fit the model: {len(missing)} tensors missing{missing[:1] or ''}, "
            f"{len(foreign)} unknown{foreign[:1] or ''}"
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise FileFormatError(
                f"{folder}: {name} has shape {tuple(tensor.shape)}, the model needs {tuple(expected[name].shape)}"
            )


def _whole(value: float) -> float:
    return int(value) if float(value).is_integer() else value
