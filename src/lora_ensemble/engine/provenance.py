"""Where a plain model is from: what a manifest keeps, so that the same model can be built again."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_VOLATILE = ("transformers_version", "architectures", "dtype", "torch_dtype")
_PLAIN = (bool, int, float, str)


def source_of(model: nn.Module) -> dict[str, Any]:
    """What is needed to load a model again, as far as it knows itself: JSON with `library`, `name` and, for
    transformers, its class, configuration and precision; for timm, the arguments that its architecture was changed by,
    or `arguments` None where they cannot be found."""
    config: Any = getattr(model, "config", None)
    if hasattr(config, "name_or_path") and hasattr(model, "save_pretrained"):
        values = json.loads(config.to_json_string(use_diff=True))
        return {
            "library": "transformers",
            "name": config.name_or_path,
            "class": type(model).__name__,
            "num_labels": getattr(config, "num_labels", None),
            "revision": getattr(config, "_commit_hash", None),
            "dtype": str(getattr(model, "dtype", torch.float32)).removeprefix("torch."),
            "config": {k: v for k, v in values.items() if k not in _VOLATILE and not k.startswith("_")},
        }
    cfg = getattr(model, "pretrained_cfg", None)
    if cfg and cfg.get("architecture"):
        tag = f".{cfg['tag']}" if cfg.get("tag") else ""
        source = {
            "library": "timm",
            "name": cfg["architecture"] + tag,
            "num_labels": getattr(model, "num_classes", None),
        }
        file = {"file": str(cfg["file"])} if cfg.get("file") else {}
        return source | file | {"arguments": _timm_arguments(model, source["name"])}
    return {"library": None, "class": type(model).__name__}


def _timm_arguments(model: nn.Module, name: str) -> dict[str, Any] | None:
    """The arguments of timm.create_model that give this model: those whose values differ from the stock model's, if
    they give one of the same structure."""
    import timm

    def build(**arguments: Any) -> nn.Module:
        with torch.device("meta"):
            return timm.create_model(name, num_classes=getattr(model, "num_classes", None), **arguments)

    try:
        wanted, stock = _structure(model), build()
        if _structure(stock) == wanted:
            return {}
        own, usual = _readable(model), _readable(stock)
        changed = {key: value for key, value in own.items() if usual.get(key) != value}
        return changed if _structure(build(**changed)) == wanted else None
    except Exception:  # whatever an architecture does with arguments that are not its own
        return None


_WHERE: dict[str, Callable[[Any], Any]] = {
    "img_size": lambda m: list(m.patch_embed.img_size),
    "patch_size": lambda m: m.patch_embed.patch_size[0],
    "in_chans": lambda m: m.patch_embed.proj.in_channels,
    "depth": lambda m: len(m.blocks),
    "num_heads": lambda m: m.blocks[0].attn.num_heads,
    "mlp_ratio": lambda m: m.blocks[0].mlp.fc1.out_features / m.blocks[0].mlp.fc1.in_features,
    "qkv_bias": lambda m: m.blocks[0].attn.qkv.bias is not None,
}
"""Where a vision transformer of timm keeps what it was built with, if not under the argument's name."""


def _readable(model: nn.Module) -> dict[str, Any]:
    """Arguments of the model's class whose values can be read off it."""
    found = {}
    for name in inspect.signature(type(model).__init__).parameters:
        value = getattr(model, name, None)
        if name in _WHERE:
            try:
                found[name] = _WHERE[name](model)
            except (AttributeError, TypeError, IndexError):
                continue
        elif isinstance(value, _PLAIN) and name not in ("num_classes", "training"):
            found[name] = value
    return found


def _structure(model: nn.Module) -> dict[str, Any]:
    """Class, plain attributes and shapes of every module but those that do nothing in evaluation."""
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        kind = type(module).__name__
        if "Drop" in kind or kind == "Identity":
            continue
        plain = {
            k: v for k, v in vars(module).items() if not k.startswith("_") and isinstance(v, _PLAIN) and "drop" not in k
        }
        shapes = {k: tuple(p.shape) for k, p in module.named_parameters(recurse=False)}
        plain.pop("training", None), plain.pop("fused_attn", None), plain.pop("qkv_bias_separate", None)
        found[name] = (kind, plain, shapes)
    return found
