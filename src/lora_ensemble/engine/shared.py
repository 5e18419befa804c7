"""Parts of the backbone that a LoRA ensemble trains besides its members: one for all of them.

Their gradient is the sum over members, so a member is no longer what it would be if it were trained alone. On disk each
member's adapter folder holds them, as PEFT's modules to save: whole modules, a single parameter in the one it is in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from lora_ensemble.engine import surgery
from lora_ensemble.engine.layers.member import MemberLayer
from lora_ensemble.errors import ConfigurationError


def find_shared(model: nn.Module, names: Iterable[str]) -> list[str]:
    """Paths of the modules and parameters with these names or endings. Raises NoMatchError for one that there is not,
    ConfigurationError for one whose members have parts of their own."""
    modules: dict[str, Any] = {path: module for path, module in model.named_modules() if path}
    known = modules | dict(model.named_parameters())
    found: dict[str, None] = {}
    for name in names:
        hits = [name] if name in known else [path for path in known if path.endswith(f".{name}")]
        if not hits:
            raise surgery.nothing_matches(f"module or parameter to train {name!r}", name, known)
        found |= dict.fromkeys(hits)
    for path in holders(model, found):
        inside = [n for n, m in modules.items() if f"{n}.".startswith(f"{path}.") and isinstance(m, MemberLayer)]
        if inside:
            raise ConfigurationError([f"also_trained: {path} holds {inside[0]}, of which each member has its own"])
    return list(found)


def parameters(model: nn.Module, paths: Iterable[str]) -> list[nn.Parameter]:
    """What `find_shared` found: the parameters, and those of the modules."""
    ours = [f"{path}." for path in paths]
    return [p for name, p in model.named_parameters() if any(f"{name}.".startswith(path) for path in ours)]


def holders(model: nn.Module, paths: Iterable[str]) -> list[str]:
    """Paths of the modules that are, or hold, what `find_shared` found; none within another."""
    modules = {path for path, _ in model.named_modules()}
    found = {path if path in modules else path.rpartition(".")[0] for path in paths}
    return sorted(path for path in found if not any(path != other and path.startswith(f"{other}.") for other in found))


def tensors(model: nn.Module, paths: Iterable[str]) -> dict[str, Tensor]:
    """Every tensor of the modules that hold what `find_shared` found, by its path in the model."""
    return {
        f"{path}.{name}": tensor
        for path in holders(model, paths)
        for name, tensor in model.get_submodule(path).state_dict().items()
    }
