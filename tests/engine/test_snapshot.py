"""SnapshotEnsemble: one network in training, its weights at the ends of the cycles at prediction."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.snapshot import SnapshotEnsemble
from lora_ensemble.errors import ConfigurationError
from tiny_models import TINY

ROWS = 4


def trained(cycles: int, members: int = 3) -> tuple[SnapshotEnsemble, list[dict[str, torch.Tensor]]]:
    """After so many cycles of three steps; and the weights at the end of each."""
    ensemble, ends = SnapshotEnsemble(TINY["vit"].build(), members).train(), []
    optim = torch.optim.SGD([p for p in ensemble.parameters() if p.requires_grad], lr=0.05)
    for cycle in range(cycles):
        for step in range(3):
            inputs, labels = TINY["vit"].batch(ROWS, seed=step)
            output = ensemble(labels=labels, **inputs)
            assert output.logits.shape == (1, ROWS, 5)
            assert output.member_losses.shape == (1,)
            output.loss.backward()
            ensemble.clip_grad_norm_(1.0)
            optim.step()
            optim.zero_grad()
        ensemble.on_cycle_end(cycle)
        ends.append({k: v.clone() for k, v in ensemble.network.state_dict().items()})
    return ensemble, ends


def test_snapshots_are_the_weights_at_the_ends_of_cycles() -> None:
    ensemble, ends = trained(3)
    inputs, _ = TINY["vit"].batch(ROWS)
    logits = ensemble.eval()(**inputs).logits
    assert logits.shape == (3, ROWS, 5)
    model = TINY["vit"].build()
    for m, end in enumerate(ends):
        model.load_state_dict(end)
        assert torch.equal(logits[m], model(**inputs).logits)
        assert torch.equal(ensemble.member(m)(**inputs).logits, logits[m])
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_only_the_network_is_trained() -> None:
    ensemble = SnapshotEnsemble(TINY["vit"].build(), 2)
    assert {n.split(".")[0] for n, p in ensemble.named_parameters() if p.requires_grad} == {"network"}
    assert ensemble.trained_members() == range(1)


def test_prediction_before_the_end_is_refused() -> None:
    ensemble, _ = trained(2)
    inputs, _ = TINY["vit"].batch(ROWS)
    with pytest.raises(
        ConfigurationError, match=r"^2 of 3 snapshots were taken: train to the end of the last cycle first$"
    ):
        ensemble.predict(**inputs)
    assert ensemble.training
    assert ensemble.eval()(members=range(2), **inputs).logits.shape == (2, ROWS, 5)


def test_saved_and_loaded(tmp_path: Path) -> None:
    inputs, _ = TINY["vit"].batch(ROWS)
    for cycles in (2, 3):
        ensemble, _ = trained(cycles)
        ensemble.eval().save_pretrained(tmp_path)
        loaded = Ensemble.from_pretrained(tmp_path, TINY["vit"].build(seed=4))
        assert isinstance(loaded, SnapshotEnsemble)
        assert int(loaded.taken) == cycles
        taken = range(cycles)
        assert torch.equal(loaded(members=taken, **inputs).logits, ensemble(members=taken, **inputs).logits)


def test_training_resumes_from_the_state() -> None:
    ensemble, _ = trained(2)
    other = SnapshotEnsemble(TINY["vit"].build(seed=3), 3)
    other.load_trainable_state(ensemble.trainable_state())
    inputs, _ = TINY["vit"].batch(ROWS)
    assert torch.equal(other.train()(**inputs).logits, ensemble.train()(**inputs).logits)
    for e in (other, ensemble):
        e.on_cycle_end(2)
    assert torch.equal(other.eval()(**inputs).logits, ensemble.eval()(**inputs).logits)


def test_gradient_checkpointing_leaves_the_snapshots_alone() -> None:
    ensemble, _ = trained(3)
    inputs, labels = TINY["vit"].batch(ROWS)
    expected = ensemble.eval()(**inputs).logits
    ensemble.gradient_checkpointing_enable()
    ensemble.train()(labels=labels, **inputs).loss.backward()
    assert torch.equal(ensemble.eval()(**inputs).logits, expected)
