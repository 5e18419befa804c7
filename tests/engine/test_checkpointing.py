"""Activation checkpointing: it recomputes, changes no number, and never takes another pass's members."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.layers.lora import MemberLinear
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.errors import ConfigurationError
from tiny_models import TINY
from tolerance import close

MEMBERS, ROWS = 3, 4


def make(name: str = "vit", **config: Any) -> LoraEnsemble:
    """In training mode, with members that differ from the backbone."""
    ensemble = LoraEnsemble(TINY[name].build(), LoraEnsembleConfig(members=MEMBERS, r=2, **config))
    generator = torch.Generator().manual_seed(1)
    for parameter in ensemble.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2, generator=generator)
    return ensemble.train()


def forwards(ensemble: LoraEnsemble, run: Callable[[], Tensor]) -> tuple[int, int]:
    """How often an adapted layer runs forward in a forward pass, and how often in the backward pass after it."""
    calls: list[int] = []
    layer = next(m for m in ensemble.modules() if isinstance(m, MemberLinear))
    handle = layer.register_forward_hook(lambda *_: calls.append(1))
    loss = run()
    forward = len(calls)
    loss.backward()
    handle.remove()
    return forward, len(calls) - forward


@pytest.mark.parametrize("name", ["vit", "llama", "timm-vit", "plain"])
def test_gradient_checkpointing_recomputes(name: str) -> None:
    ensemble = make(name)
    inputs, labels = TINY[name].batch(ROWS)
    run = lambda: ensemble(labels=labels, **inputs).loss  # noqa: E731
    run()
    assert forwards(ensemble, run) == (1, 0)
    expected = [p.grad.clone() for p in ensemble.parameters() if p.requires_grad]
    ensemble.gradient_checkpointing_enable()
    ensemble.gradient_checkpointing_enable({"use_reentrant": False})  # a second time changes nothing
    ensemble.zero_grad()
    assert forwards(ensemble, run) == (1, 1)
    for own, grad in zip([p.grad for p in ensemble.parameters() if p.requires_grad], expected, strict=True):
        close(own, grad)
    with torch.no_grad():
        ensemble.eval()(**inputs)
    alone = ensemble.member(1)(**inputs)
    close(getattr(alone, "logits", alone), ensemble(**inputs).logits[1])


@pytest.mark.parametrize("checkpointing", [True, False])
def test_passes_under_one_graph_keep_no_activations(checkpointing: bool) -> None:
    ensemble = make(members_per_pass=1)
    if checkpointing:
        ensemble.gradient_checkpointing_enable()
    inputs, labels = TINY["vit"].batch(ROWS)
    forward, backward = forwards(ensemble, lambda: ensemble(labels=labels, **inputs).loss)
    assert (forward, backward) == (MEMBERS, MEMBERS * (1 + checkpointing))


def test_a_late_recomputation_is_an_error_and_no_other_member() -> None:
    """The model's own checkpointing knows nothing of passes."""
    ensemble = make(members_per_pass=2)
    inputs, labels = TINY["vit"].batch(ROWS)
    inputs["pixel_values"].requires_grad_()
    for layer in ensemble.model.vit.layers:
        layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)
    first, second = (ensemble(members=p, labels=labels, **inputs).loss for p in ensemble.passes())
    with pytest.raises(ConfigurationError, match=r"ran outside its pass; recompute with ensemble\.gradient_checkpoint"):
        first.backward()
    ensemble(members=range(MEMBERS), **inputs)
    ensemble.members_per_pass = None
    ensemble(**inputs)  # now all three members are the last that ran
    with pytest.raises(ConfigurationError, match="whose first axis is not 12 rows"):
        second.backward()
