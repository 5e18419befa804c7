"""A module with every parameter of it held M times."""

from __future__ import annotations

from torch import nn

from lora_ensemble.engine.layers.copies import MemberCopies
from lora_ensemble.engine.layers.heads import MemberHead, MemberLayerNorm
from lora_ensemble.engine.layers.passes import PassState


def per_member(module: nn.Module, state: PassState, members: int) -> nn.Module:
    """A module with every parameter of it held M times, members starting equal. Containers are kept."""
    if type(module) is nn.Linear:
        return MemberHead(module, state, members)
    if type(module) is nn.LayerNorm and module.weight is not None and len(module.normalized_shape) == 1:
        return MemberLayerNorm(module, state, members)
    if any(True for _ in module.parameters(recurse=False)):
        return MemberCopies(module, state, members)
    for name, child in list(module.named_children()):
        setattr(module, name, per_member(child, state, members))
    return module
