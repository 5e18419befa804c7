"""The contract of every method, on every tiny model: a new file in methods/ is covered without an edit here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lora_ensemble import registry
from lora_ensemble.contracts import LoadedBackbone, Method
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.errors import ConfigurationError
from tiny_models import CLASSES, TINY, VOCABULARY
from tolerance import close

pytestmark = pytest.mark.filterwarnings("ignore:tfb. the .* deviation that was tried")  # nothing was learned here

ROWS, CLIP = 4, 0.05
METHODS = registry.names("methods")


UNTRAINED = {"zero-shot"}
"""Methods that train nothing: what they build is the pretrained model."""


def config(method: str, **fields: Any) -> Method:
    """Three members, where a method has a choice."""
    cls = registry.config_class("methods", method)
    chosen = cls(**{"members": 3} | fields)
    return cls(**fields) if chosen.problems() else chosen


def backbone(name: str, seed: int = 0) -> LoadedBackbone:
    model = TINY[name].build(seed)
    source = {"library": None, "class": type(model).__name__}
    return LoadedBackbone(model, collate=list, prepare=dict, head=TINY[name].head, own_head=True, source=source)


def build(method: str, name: str, seed: int = 0, **fields: Any) -> Ensemble:
    return config(method, **fields).build(backbone(name), seed)


@torch.no_grad()
def finished(ensemble: Ensemble, name: str) -> Ensemble:
    """As after the last step of a training, of 20 steps that changed nothing more."""
    for step in range(20):
        ensemble.on_step_end(step + 1, 20)
    for cycle in range(ensemble.members):
        ensemble.on_cycle_end(cycle)
    ensemble.eval().conclude(lambda split: iter([TINY[name].batch(ROWS, seed=1)]))
    return ensemble


def logits(ensemble: Ensemble, name: str) -> Tensor:
    torch.manual_seed(0)
    with torch.no_grad():
        return ensemble(**TINY[name].batch(ROWS)[0]).logits


def step(ensemble: Ensemble, name: str) -> None:
    """One step of training, which moves every member."""
    inputs, labels = TINY[name].batch(ROWS)
    ensemble.train()
    trained = [p for p in ensemble.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1.0)
    for members in ensemble.passes():
        ensemble(members=members, labels=labels, **inputs).loss.backward()
    ensemble.clip_grad_norm_(CLIP)
    optimizer.step()
    optimizer.zero_grad()


REFUSED = {(method, name) for method in ("last-layer", "laplace", "hydra") for name in ("llama", "gpt2")}
"""Methods that need a head, on language models, which answer with an output layer that all members share."""


def test_a_backbone_that_a_method_cannot_serve_is_refused_in_one_line() -> None:
    for method, name in REFUSED & {(m, n) for m in METHODS for n in TINY}:
        with pytest.raises(ConfigurationError, match=f"method {method}: this backbone has no head") as raised:
            build(method, name)
        assert "\n" not in str(raised.value)


TRAINED = [method for method in METHODS if method not in UNTRAINED]
EVERY = [(method, name) for method in METHODS for name in sorted(TINY) if (method, name) not in REFUSED]
each = pytest.mark.parametrize(("method", "name"), EVERY)
each_trained = pytest.mark.parametrize(("method", "name"), [pair for pair in EVERY if pair[0] in TRAINED])
once = pytest.mark.parametrize("method", METHODS)
once_trained = pytest.mark.parametrize("method", TRAINED)


@each
def test_trains_saves_and_loads(method: str, name: str, tmp_path: Path) -> None:
    ensemble = build(method, name)
    assert ensemble.method == method
    if method in TRAINED:
        step(ensemble, name)
    expected = logits(finished(ensemble, name), name)
    shape = (CLASSES,) if TINY[name].head else (7, VOCABULARY)
    assert expected.shape == (ensemble.members, ROWS, *shape)
    assert torch.isfinite(expected).all()

    other = build(method, name, seed=1)
    changed = (logits(finished(other, name), name) - expected).abs().max()
    assert changed > 1e-4 if method in TRAINED else changed == 0
    other.load_trainable_state({k: v.clone() for k, v in ensemble.trainable_state().items()})
    assert torch.equal(logits(other, name), expected)

    ensemble.save_pretrained(tmp_path)
    loaded = Ensemble.from_pretrained(tmp_path, TINY[name].build())
    assert torch.equal(logits(loaded, name), expected)
    assert type(loaded) is type(ensemble)
    assert (loaded.method, loaded.members, loaded.source) == (method, ensemble.members, ensemble.source)


@each_trained
def test_every_trained_member_gets_its_gradient(method: str, name: str) -> None:
    ensemble = build(method, name).train()
    inputs, labels = TINY[name].batch(ROWS)
    output = ensemble(labels=labels, **inputs)
    trained = len(ensemble.trained_members())
    assert output.logits.shape[:2] == (trained, ROWS)
    assert output.member_losses.shape == (trained,)
    torch.testing.assert_close(output.loss, output.member_losses.sum())
    output.loss.backward()
    without = [n for n, p in ensemble.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert all(p.grad is None for p in ensemble.parameters() if not p.requires_grad)

    norms = ensemble.clip_grad_norm_(float("inf"))
    total = torch.stack([p.grad.norm() for p in ensemble.parameters() if p.grad is not None]).norm()
    torch.testing.assert_close(norms.norm(), total)
    assert (norms > CLIP).all()
    torch.testing.assert_close(ensemble.clip_grad_norm_(CLIP), norms)
    torch.testing.assert_close(
        ensemble.clip_grad_norm_(float("inf")), torch.full_like(norms, CLIP), atol=1e-5, rtol=1e-3
    )


@once_trained
def test_the_start_follows_from_the_seed(method: str) -> None:
    """Whatever was drawn before, and no other seed's."""
    torch.manual_seed(11)
    first = build(method, "vit", seed=5)
    torch.manual_seed(12)
    second, other = build(method, "vit", seed=5), build(method, "vit", seed=6)
    assert torch.equal(logits(finished(first, "vit"), "vit"), logits(finished(second, "vit"), "vit"))
    assert not torch.equal(logits(finished(first, "vit"), "vit"), logits(finished(other, "vit"), "vit"))
    assert first.trainable_state().keys() == second.trainable_state().keys()


@pytest.mark.parametrize("method", [m for m in METHODS if hasattr(config(m), "first_member") and config(m).members > 1])
def test_members_are_part_of_a_larger_ensemble(method: str) -> None:
    whole = finished(build(method, "vit", members=4), "vit")
    parts = [finished(build(method, "vit", members=2, first_member=first), "vit") for first in (0, 2)]
    together = torch.cat([logits(part, "vit") for part in parts])
    close(logits(whole, "vit"), together)


@once
def test_predict_restores_the_modes(method: str) -> None:
    ensemble = finished(build(method, "vit"), "vit").train()
    next(m for n, m in ensemble.named_modules() if n.endswith("vit.layers.0")).eval()
    modes = [m.training for m in ensemble.modules()]
    inputs, labels = TINY["vit"].batch(ROWS)
    predictions = ensemble.predict(labels=labels, ids=list("abcd"), **inputs)
    assert predictions.logits_MBC.shape == (ensemble.members, ROWS, CLASSES)
    assert torch.equal(predictions.labels_B, labels)
    assert [m.training for m in ensemble.modules()] == modes


@pytest.mark.parametrize("method", [m for m in METHODS if hasattr(config(m), "first_member")])
def test_passes_change_no_number(method: str) -> None:
    ensembles = [build(method, "vit") for _ in range(2)]
    ensembles[1].members_per_pass = 2
    for ensemble in ensembles:
        step(ensemble, "vit")
    one, two = (logits(finished(e, "vit"), "vit") for e in ensembles)
    close(one, two)


@once_trained
def test_gradient_checkpointing_changes_no_number(method: str) -> None:
    inputs, labels = TINY["vit"].batch(ROWS)
    gradients = []
    for checkpointing in (False, True):
        ensemble = build(method, "vit").train()
        if checkpointing:
            ensemble.gradient_checkpointing_enable()
        torch.manual_seed(0)
        ensemble(labels=labels, **inputs).loss.backward()
        gradients.append([p.grad for p in ensemble.parameters() if p.requires_grad])
    for plain, again in zip(*gradients, strict=True):
        close(again, plain)


@pytest.mark.parametrize("method", sorted(UNTRAINED))
@pytest.mark.parametrize("name", sorted(TINY))
def test_what_trains_nothing_is_the_pretrained_model(method: str, name: str) -> None:
    ensemble = build(method, name)
    assert not any(p.requires_grad for p in ensemble.parameters())
    with torch.no_grad():
        output = TINY[name].build()(**TINY[name].batch(ROWS)[0])
    expected = output if isinstance(output, Tensor) else output.logits
    assert torch.equal(logits(ensemble.eval(), name)[0], expected)


@pytest.mark.parametrize("method", sorted(UNTRAINED))
def test_a_random_head_is_refused_where_it_would_stay_so(method: str) -> None:
    loaded = replace(backbone("vit"), own_head=False)
    with pytest.raises(ConfigurationError, match="the head 'classifier' of this backbone would be random") as raised:
        config(method).build(loaded, seed=0)
    assert "\n" not in str(raised.value)


@once
def test_nonsense_is_named(method: str) -> None:
    cls = registry.config_class("methods", method)
    assert config(method).problems() == []
    assert any(p.startswith("method.members = 0: ") for p in cls(members=0).problems())
    assert "\n" not in registry.description("methods", method)
    assert registry.description("methods", method).endswith(".")
