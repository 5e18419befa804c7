"""Runs of the methods that do more than train their members: stopped and gone on with, predicted, scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lora_ensemble import Run, evaluate, registry, train
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.experiment import Experiment, Training
from tiny_training import InterruptedByTestError, stop_at

TRAINING = Training(
    max_steps=10, batch_size=16, learning_rate=1e-2, schedule="constant", checkpoint_seconds=0.0, device="cpu"
)
METHODS: dict[str, dict[str, Any]] = {
    "swag": {"taken": 4, "rank": 3, "start": 0.2},
    "tfb": {"halvings": 4, "batches": 2},
    "blob": {},
    "laplace": {},
    "last-layer": {"network": "adapted"},
    "batch-ensemble": {},
    "lora": {"repulsion": 0.1},
}


def experiment(method: str, **fields: Any) -> Experiment:
    chosen = registry.config_class("methods", method)(members=2, **{**METHODS.get(method, {}), **fields})
    return Experiment(DigitsViT(), chosen, Digits(train_examples=40), TRAINING)


def files(folder: Path) -> dict[str, bytes]:
    inside = folder / "ensemble"
    return {str(p.relative_to(inside)): p.read_bytes() for p in sorted(inside.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_stopped_ends_with_the_same_bits(method: str, tmp_path: Path) -> None:
    whole = train(experiment(method), tmp_path / "whole", on_progress=lambda p: None)
    with pytest.raises(InterruptedByTestError):
        train(experiment(method), tmp_path / "stopped", on_progress=stop_at(7))
    train(experiment(method), tmp_path / "stopped", on_progress=lambda p: None)
    assert files(tmp_path / "whole") == files(tmp_path / "stopped")
    predictions = Run(tmp_path / "whole").predict("test")
    assert len(predictions.logits_MBC) == 2
    assert not torch.equal(*predictions.logits_MBC)
    assert 0 < evaluate(predictions)["nll"] < 20
    with torch.no_grad():
        assert whole.ensemble().members == 2


def test_what_is_sampled_from_is_a_single_lora_network(tmp_path: Path) -> None:
    """Solo equivalence: laplace leaves all of it but the head as it was trained."""
    single = train(_single(), tmp_path / "single")
    sampled = train(experiment("laplace"), tmp_path / "laplace")
    own = dict(single.ensemble().named_parameters())
    for name, value in sampled.ensemble().named_parameters():
        if "lora_" in name:
            assert torch.equal(value[1], own[name][0])


def _single() -> Experiment:
    return replace(experiment("lora", repulsion=None), method=registry.config_class("methods", "single-lora")())


@pytest.mark.parametrize(
    ("method", "fields", "training", "message"),
    [
        ("swag", {}, {"schedule": "cosine"}, "training.schedule = 'cosine': swag needs weights that move, 'constant'"),
        ("swag", {"taken": 30}, {}, "method.taken = 30: there are only 8 of 10 steps after method.start = 0.2"),
        ("swag", {}, {"early_stopping": 1}, "training.early_stopping: swag takes weights until the last step"),
        ("tfb", {"tolerance": 0.0}, {}, "method.tolerance = 0.0: must be above 0"),
        ("tfb", {"first_member": 2}, {}, "method.first_member = 2: tfb's noise depends on all members together"),
        ("blob", {"prior_std": 0.0}, {}, "method.prior_std = 0.0: must be above 0"),
        ("laplace", {"prior_precision": -1.0}, {}, "method.prior_precision = -1.0: must be above 0"),
        ("lora", {}, {"members_per_pass": 1}, "training.members_per_pass = 1: method.repulsion needs all at once"),
        ("lora", {}, {"data_order": "independent"}, "method.repulsion compares answers to the same batch"),
        ("lora", {"repulsion": None, "bandwidth": 1.0}, {}, "method.bandwidth = 1.0: must be above 0, and needs"),
        ("last-layer", {"network": "frozen", "lora_l2": 0.1}, {}, "method.lora_l2 = 0.1: needs method.network"),
        ("last-layer", {"first_member": 1}, {}, "method.first_member = 1: heads that train one update together"),
        ("batch-ensemble", {"init_std": 0.0}, {}, "method.init_std = 0.0: must be above 0"),
    ],
)
def test_what_does_not_fit_is_named(method: str, fields: Any, training: Any, message: str, tmp_path: Path) -> None:
    asked = replace(experiment(method, **fields), training=replace(TRAINING, **training))
    with pytest.raises(ConfigurationError) as raised:
        train(asked, tmp_path / "run", on_progress=lambda p: None)
    assert message in str(raised.value)


def test_new_fields_that_are_off_do_not_change_what_an_old_run_was() -> None:
    """Keys of predictions and of runs that were made before there was repulsion."""
    determining = experiment("lora", repulsion=None).determining()
    assert "method.repulsion" not in determining
    assert experiment("lora").determining()["method.repulsion"] == 0.1
