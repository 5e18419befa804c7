"""Solo equivalence: M members trained together are what M separate PEFT trainings give."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from peft import PeftModel, get_peft_model_state_dict
from torch import Tensor, nn
from transformers.loss.loss_utils import ForCausalLMLoss

from lora_ensemble.engine.adapters import member_tensors
from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.folding import chunk
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.networks import NetworkEnsemble, redraw_head
from tiny_models import TINY, around_peft
from tolerance import close

pytestmark = around_peft

MEMBERS, ROWS, STEPS, CLIP, RATE = 3, 4, 20, 0.3, 1e-3

Batches = list[tuple[dict[str, Tensor], Tensor]]


def make(name: str, **config: Any) -> LoraEnsemble:
    # PEFT has one low-rank pair for a fused projection.
    defaults = {"members": MEMBERS, "r": 4, "lora_alpha": 8, "seed": 7, "fused_qkv": "joint"}
    return LoraEnsemble(TINY[name].build(), LoraEnsembleConfig(**(defaults | config))).train()


def batches(name: str, member: int | None = None) -> Batches:
    """Batches that all members share, or those of one member."""
    offset = 0 if member is None else 1000 * (member + 1)
    return [TINY[name].batch(ROWS, seed=offset + step) for step in range(STEPS)]


def optimizer(parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW((p for p in parameters if p.requires_grad), lr=RATE, weight_decay=0.1)


def solo_step(model: nn.Module, optim: torch.optim.Optimizer, inputs: dict[str, Tensor], labels: Tensor) -> None:
    logits = model(**inputs).logits
    loss = F.cross_entropy(logits, labels) if logits.ndim == 2 else ForCausalLMLoss(logits, labels, logits.shape[-1])
    loss.backward()
    nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], CLIP)
    optim.step()
    optim.zero_grad()


@functools.cache
def alone(name: str, own_data: bool, layers: tuple[int, ...] | None) -> list[tuple[dict[str, Tensor], Tensor]]:
    """Weights and logits of each member, trained by itself with PEFT from the exported start."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        make(name, layers_to_transform=layers and list(layers)).save_pretrained(folder)
        for m in range(MEMBERS):
            model = PeftModel.from_pretrained(TINY[name].build(), f"{folder}/member-{m:03d}", is_trainable=True).train()
            optim = optimizer(model.parameters())
            for inputs, labels in batches(name, m if own_data else None):
                solo_step(model, optim, inputs, labels)
            weights = {k: v.clone() for k, v in get_peft_model_state_dict(model).items()}
            with torch.no_grad():
                results.append((weights, model.eval()(**TINY[name].batch(ROWS, seed=99)[0]).logits))
    return results


def train(ensemble: LoraEnsemble, backward: Callable[[LoraEnsemble, int], None]) -> LoraEnsemble:
    optim = optimizer(ensemble.parameters())
    for step in range(STEPS):
        backward(ensemble, step)
        ensemble.clip_grad_norm_(CLIP)
        optim.step()
        optim.zero_grad()
    return ensemble.eval()


def check(name: str, ensemble: LoraEnsemble, own_data: bool = False, layers: tuple[int, ...] | None = None) -> None:
    """Every weight and logit is the solo trainings', and training changed them by far more than the tolerance."""
    with torch.no_grad():
        logits = ensemble(**TINY[name].batch(ROWS, seed=99)[0]).logits
    start = make(name, layers_to_transform=layers and list(layers))
    for m, (weights, solo_logits) in enumerate(alone(name, own_data, layers)):
        own = member_tensors(ensemble.member_layers(), m)
        assert own.keys() == weights.keys()
        for key, value in own.items():
            close(value, weights[key], msg=key)
        close(logits[m], solo_logits)
        before = member_tensors(start.member_layers(), m)
        assert max((own[k] - before[k]).abs().max() for k in own) > 5e-3


def whole(name: str) -> Callable[[LoraEnsemble, int], None]:
    data = batches(name)

    def backward(ensemble: LoraEnsemble, step: int) -> None:
        inputs, labels = data[step]
        ensemble(labels=labels, **inputs).loss.backward()

    return backward


def by_pass(name: str) -> Callable[[LoraEnsemble, int], None]:
    data = batches(name)

    def backward(ensemble: LoraEnsemble, step: int) -> None:
        inputs, labels = data[step]
        for members in ensemble.passes():
            ensemble(members=members, labels=labels, **inputs).loss.backward()

    return backward


BOTH = pytest.mark.parametrize("name", ["vit", "llama"])


@pytest.mark.parametrize("name", ["vit", "llama", "llama-classifier", "gpt2"])
def test_together_is_alone(name: str) -> None:
    check(name, train(make(name), whole(name)))


@pytest.mark.parametrize("name", ["vit", "bert", "llama-classifier"])
def test_with_the_last_block_where_it_is_read(name: str) -> None:
    check(name, train(make(name, read_rows=True), whole(name)))


@pytest.mark.parametrize(("name", "size"), [("vit", 1), ("llama", 2)])
def test_in_passes(name: str, size: int) -> None:
    check(name, train(make(name, members_per_pass=size), by_pass(name)))


@BOTH
def test_in_passes_under_one_graph(name: str) -> None:
    check(name, train(make(name, members_per_pass=2), whole(name)))


@pytest.mark.parametrize(("name", "size"), [("vit", None), ("llama", None), ("llama", 2)])
def test_with_gradient_checkpointing(name: str, size: int | None) -> None:
    ensemble = make(name, members_per_pass=size)
    ensemble.gradient_checkpointing_enable()
    check(name, train(ensemble, whole(name) if size is None else by_pass(name)))


@pytest.mark.parametrize("name", ["vit"])
def test_with_gradient_checkpointing_and_passes_under_one_graph(name: str) -> None:
    ensemble = make(name, members_per_pass=2)
    ensemble.gradient_checkpointing_enable()
    check(name, train(ensemble, whole(name)))


@BOTH
def test_with_gradient_accumulation(name: str) -> None:
    data = batches(name)

    def backward(ensemble: LoraEnsemble, step: int) -> None:
        inputs, labels = data[step]
        for half in (slice(0, ROWS // 2), slice(ROWS // 2, ROWS)):
            part = {k: v[half] for k, v in inputs.items()}
            (ensemble(labels=labels[half], **part).loss / 2).backward()

    check(name, train(make(name), backward))


@BOTH
def test_with_the_shared_trunk(name: str) -> None:
    ensemble = train(make(name, layers_to_transform=[1]), whole(name))
    assert any("layers.0" in module for module in ensemble.trunk.modules(training=True))
    check(name, ensemble, layers=(1,))


@pytest.mark.parametrize("name", ["llama"])
def test_with_the_shared_trunk_passes_and_checkpointing(name: str) -> None:
    ensemble = make(name, layers_to_transform=[1], members_per_pass=2)
    ensemble.gradient_checkpointing_enable()
    check(name, train(ensemble, whole(name)), layers=(1,))


@pytest.mark.parametrize(("name", "size"), [("vit", None), ("llama", None), ("vit", 2)])
def test_with_a_batch_of_its_own_for_every_member(name: str, size: int | None) -> None:
    data = [batches(name, m) for m in range(MEMBERS)]

    def backward(ensemble: LoraEnsemble, step: int) -> None:
        inputs = {k: torch.cat([own[step][0][k] for own in data]) for k in data[0][step][0]}
        labels = torch.cat([own[step][1] for own in data])
        ensemble(labels=labels, shared=False, **inputs).loss.backward()

    check(name, train(make(name, members_per_pass=size), backward), own_data=True)


@pytest.mark.parametrize("name", ["llama"])
def test_with_a_batch_of_its_own_in_passes(name: str) -> None:
    data = [batches(name, m) for m in range(MEMBERS)]

    def backward(ensemble: LoraEnsemble, step: int) -> None:
        inputs = {k: torch.cat([own[step][0][k] for own in data]) for k in data[0][step][0]}
        labels = torch.cat([own[step][1] for own in data])
        for members in ensemble.passes():
            rows = chunk(inputs | {"labels": labels}, members, MEMBERS)
            ensemble(members=members, shared=False, **rows).loss.backward()

    check(name, train(make(name, members_per_pass=2), backward), own_data=True)


def test_joint_clipping_is_another_training() -> None:
    """So that the tests above show that the clip is each member's own."""
    ensemble, data = make("vit"), batches("vit")
    inputs, labels = data[0]
    ensemble(labels=labels, **inputs).loss.backward()
    norms = ensemble.clip_grad_norm_(float("inf"))
    assert ensemble.clip_grad_norm_(CLIP, joint=True).tolist() == pytest.approx(norms.tolist())
    after = ensemble.clip_grad_norm_(float("inf"))
    assert after.norm().item() == pytest.approx(CLIP, rel=1e-4)
    assert (norms > CLIP).all()


def explicit(**options: Any) -> NetworkEnsemble:
    """In double precision: the gradient of a key's bias is zero, and Adam would make steps of its rounding errors."""
    networks = [TINY["vit"].build().double() for _ in range(MEMBERS)]
    for m, network in enumerate(networks):
        redraw_head(network, "classifier", seed=7, member=m)
    return NetworkEnsemble(networks, **options).train()


def test_an_explicit_ensemble_is_its_networks_alone() -> None:
    data = [({k: v.double() for k, v in inputs.items()}, labels) for inputs, labels in batches("vit")]
    alone = explicit().networks
    for network in alone:
        optim = optimizer(network.parameters())
        for inputs, labels in data:
            solo_step(network, optim, inputs, labels)
    for size in (None, 1):
        ensemble = explicit(members_per_pass=size)
        optim = optimizer(ensemble.parameters())
        for inputs, labels in data:
            ensemble(labels=labels, **inputs).loss.backward()
            ensemble.clip_grad_norm_(CLIP)
            optim.step()
            optim.zero_grad()
        for together, network in zip(ensemble.networks, alone, strict=True):
            for key, value in network.state_dict().items():
                close(together.state_dict()[key], value, dtype=torch.float32)  # norms are float32
