"""Activation checkpointing of the repeated blocks of any model, aware of passes."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lora_ensemble.engine import surgery
from lora_ensemble.engine.attention import training_attention
from lora_ensemble.engine.layers.passes import PassState


def checkpoint_blocks(model: nn.Module, state: PassState | None = None) -> None:
    """Recompute every transformer block of `model` in the backward pass. `state`: the passes of its member layers,
    which a recomputation must find as they were. Calling it again changes nothing."""
    for path in surgery.blocks(model, surgery.attention_projections(model)):
        block = model.get_submodule(path)
        if not _is_checkpointed(block):
            block.forward = functools.partial(_recomputed, block.forward, state)


def forget_checkpointing(model: nn.Module) -> None:
    """The inverse, for a deep copy of the model."""
    for module in model.modules():
        if _is_checkpointed(module):
            del module.forward


def checkpointed(model: nn.Module) -> bool:
    """Whether any block of it is recomputed."""
    return any(_is_checkpointed(module) for module in model.modules())


def _is_checkpointed(module: nn.Module) -> bool:
    return isinstance(module.forward, functools.partial) and module.forward.func is _recomputed


def _recomputed(forward: Any, state: PassState | None, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    this = None if state is None else state.current

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), nullcontext() if state is None or this is None else state.running(this)

    def run(*args: Any) -> Any:
        with training_attention(checkpointed=True):
            return forward(*args, **kwargs)

    return checkpoint(run, *args, use_reentrant=False, context_fn=contexts)
