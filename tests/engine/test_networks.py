"""NetworkEnsemble: whole networks, their heads and the noise on their weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.networks import NetworkEnsemble, perturb, redraw_head
from lora_ensemble.errors import ConfigurationError, FileFormatError, NoMatchError
from tiny_models import TINY
from tolerance import close

MEMBERS, ROWS = 3, 4


def make(name: str = "vit", first_member: int = 0, members: int = MEMBERS, seed: int = 0) -> NetworkEnsemble:
    networks = [TINY[name].build() for _ in range(members)]
    for m, network in enumerate(networks):
        redraw_head(network, TINY[name].head, seed, first_member + m)
    return NetworkEnsemble(networks, first_member=first_member).eval()


@pytest.mark.parametrize("name", ["vit", "bert", "llama", "timm-vit"])
def test_rows_are_the_networks(name: str) -> None:
    ensemble = make(name)
    inputs, labels = TINY[name].batch(ROWS)
    output = ensemble(labels=labels, **inputs)
    for m in range(MEMBERS):
        alone = ensemble.member(m)(**inputs)
        assert torch.equal(output.logits[m], getattr(alone, "logits", alone))
    own, own_labels = TINY[name].batch(MEMBERS * ROWS, seed=1)
    for size in (None, 1, 2):
        ensemble.members_per_pass = size
        logits = ensemble(shared=False, labels=own_labels, **own).logits
        for m in range(MEMBERS):
            alone = ensemble.member(m)(**{k: v[m * ROWS : (m + 1) * ROWS] for k, v in own.items()})
            close(logits[m], getattr(alone, "logits", alone))


def test_six_members_are_three_and_three() -> None:
    inputs, _ = TINY["vit"].batch(ROWS)
    both = torch.cat([make(first_member=f)(**inputs).logits for f in (0, 3)])
    assert torch.equal(make(members=6)(**inputs).logits, both)
    assert (both[0] - both[3]).abs().max() > 1e-2


def test_heads_are_redrawn() -> None:
    model, other = TINY["roberta"].build(), TINY["roberta"].build()
    redraw_head(model, "classifier", seed=0, member=0, init="copy")
    redraw_head(model, None, seed=0, member=0)
    assert torch.equal(model.classifier.dense.weight, other.classifier.dense.weight)
    redraw_head(model, "classifier", seed=0, member=0)
    redraw_head(other, "classifier", seed=0, member=1)
    for layer in ("dense", "out_proj"):
        a, b = (m.classifier.get_submodule(layer) for m in (model, other))
        assert not torch.equal(a.weight, b.weight)
        assert a.weight.abs().max() <= 1 / 16**0.5
    body = [n for n, p in model.named_parameters() if not torch.equal(p, other.get_parameter(n))]
    assert all(name.startswith("classifier") for name in body)
    with pytest.raises(NoMatchError, match="Did you mean 'classifier'"):
        redraw_head(model, "clasifier", seed=0, member=0)


@pytest.mark.parametrize(("blocks", "changed"), [(None, {0, 1, 2}), (1, {2}), (2, {1, 2}), (7, {0, 1, 2})])
def test_noise_is_in_the_weight_matrices_of_the_last_blocks(blocks: int | None, changed: set[int]) -> None:
    model, noisy = TINY["vit"].build(layers=3), TINY["vit"].build(layers=3)
    perturb(noisy, 0.5, blocks, seed=0, member=1)
    for name, parameter in model.named_parameters():
        difference = noisy.get_parameter(name) - parameter
        inside = parameter.ndim >= 2 and any(name.startswith(f"vit.layers.{i}.") for i in changed)
        assert bool(difference.any()) == inside, name
        if inside:
            assert difference.std().item() == pytest.approx(0.5 * parameter.std().item(), rel=0.25)
    again, other = TINY["vit"].build(layers=3), TINY["vit"].build(layers=3)
    perturb(again, 0.5, blocks, seed=0, member=1)
    perturb(other, 0.5, blocks, seed=0, member=2)
    weight = "vit.layers.2.mlp.fc1.weight"
    assert torch.equal(again.get_parameter(weight), noisy.get_parameter(weight))
    assert not torch.equal(other.get_parameter(weight), noisy.get_parameter(weight))


def test_gradient_checkpointing() -> None:
    ensemble, other = make().train(), make().train()
    ensemble.gradient_checkpointing_enable()
    inputs, labels = TINY["vit"].batch(ROWS)
    for e in (ensemble, other):
        e(labels=labels, **inputs).loss.backward()
    for own, plain in zip(ensemble.parameters(), other.parameters(), strict=True):
        close(own.grad, plain.grad, depth=8)


@pytest.mark.parametrize("name", ["vit", "gpt2", "timm-vit"])
def test_saved_and_loaded(name: str, tmp_path: Path) -> None:
    """GPT-2's output layer is its embedding: stored once, and tied again."""
    ensemble = make(name, first_member=2)
    ensemble.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ensemble.json", "member-002", "member-003", "member-004"]
    loaded = Ensemble.from_pretrained(tmp_path, TINY[name].build(seed=5))
    assert isinstance(loaded, NetworkEnsemble)
    assert (loaded.members, loaded.first_member, loaded.method) == (MEMBERS, 2, "deep")
    inputs, _ = TINY[name].batch(ROWS)
    assert torch.equal(loaded(**inputs).logits, ensemble(**inputs).logits)


def test_batch_statistics_are_part_of_the_state() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    ensemble = NetworkEnsemble([network]).train()
    ensemble(input=torch.randn(8, 4))
    state = {k: v.clone() for k, v in ensemble.trainable_state().items()}
    other = NetworkEnsemble([nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))]).eval()
    other.load_trainable_state(state)
    x = torch.randn(3, 4)
    assert torch.equal(other(input=x).logits, ensemble.eval()(input=x).logits)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    with pytest.raises(FileFormatError, match=r"2 of another shape \(first: classifier\.bias\)"):
        Ensemble.from_pretrained(tmp_path, TINY["vit"].build(labels=7))
    with pytest.raises(FileFormatError, match=r"does not fit the model: \d+ tensors missing, \d+ unknown"):
        Ensemble.from_pretrained(tmp_path, TINY["bert"].build())
    with pytest.raises(ConfigurationError, match="members = 0: must be at least 1"):
        NetworkEnsemble([])
    with pytest.raises(ConfigurationError, match="members_per_pass = 0: must be at least 1"):
        NetworkEnsemble([nn.Linear(2, 2)], members_per_pass=0)
