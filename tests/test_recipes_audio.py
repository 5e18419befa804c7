"""The recipes of the audio table have the published hyper-parameters, and arguments for what the studies vary."""

from __future__ import annotations

import dataclasses

import pytest

from lora_ensemble import registry
from lora_ensemble.backbones.ast import AUDIOSET
from lora_ensemble.recipes import esc50
from lora_ensemble.training.schedules import learning_rate_factor

METHODS = ["single", "single-lora", "mc-dropout", "deep", "lora"]
DEIT = "timm/deit_base_distilled_patch16_384.fb_in1k"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dataset", ["esc10", "esc50"])
def test_each_cell_of_the_table_is_a_recipe(dataset, method):
    experiment = registry.recipe(f"{dataset}-{method}")
    assert registry.name_of(experiment.method) == method
    assert registry.name_of(experiment.dataset) == dataset
    assert (registry.name_of(experiment.backbone), experiment.backbone.weights) == ("ast", DEIT)
    assert (experiment.backbone.mean, experiment.backbone.std) == (-6.6268077, 5.358466)
    assert (experiment.backbone.frames, experiment.backbone.bins, experiment.backbone.head_norm) == (512, 128, "shared")
    assert experiment.method.members == (1 if method.startswith("single") else 16)
    t = experiment.training
    assert (t.optimizer, t.betas, t.weight_decay, t.gradient_clip) == ("adam", (0.95, 0.999), 5e-7, 1e4)
    assert (t.epochs, t.batch_size, t.warmup_steps, t.class_weights) == (25, 1, 0, "uniform")
    assert t.learning_rate == (5e-5 if "lora" in method else 1e-5)
    assert (experiment.dataset.frequency_mask, experiment.dataset.time_mask) == (24, 96)


def test_the_learning_rate_falls_from_the_sixth_epoch_on():
    training = registry.recipe("esc50-lora").training
    factors = [learning_rate_factor(10 * epoch, 250, 10, training) for epoch in range(25)]
    assert factors == pytest.approx([1.0] * 5 + [0.85 ** (epoch - 4) for epoch in range(5, 25)])


@pytest.mark.parametrize("dataset", ["esc10", "esc50"])
def test_low_rank_updates_are_as_published(dataset):
    for method in ("lora", "single-lora"):
        experiment = registry.recipe(f"{dataset}-{method}")
        lora = experiment.method
        assert (lora.r, lora.lora_alpha, lora.init_a, lora.init_gain) == (16, None, "xavier", 10.0)
        assert (lora.head_init, lora.fused_qkv, experiment.backbone.fused_qkv) == ("default", "joint", True)
        assert not experiment.backbone.train_patch_embedding
        assert not experiment.backbone.train_position_embedding
    dropout = registry.recipe(f"{dataset}-mc-dropout").method
    assert (dropout.p, dropout.dropout, dropout.heads) == (0.2, "dropkey", "member")


@pytest.mark.parametrize(("recipe", "weights", "rate"), [("ast-s", DEIT, 1e-4), ("ast-p", None, 1e-5)])
def test_the_validation_pair(recipe, weights, rate):
    experiment = registry.recipe(f"esc50-single-{recipe}")
    assert (experiment.backbone.weights, experiment.backbone.name) == (weights, AUDIOSET)
    assert (experiment.training.learning_rate, experiment.training.batch_size) == (rate, 48)
    assert (experiment.method.head_init, experiment.method.head_gain) == ("default", 1.0)


@pytest.mark.parametrize("recipe", [esc50.lora, esc50.deep])
@pytest.mark.parametrize(("rate", "batch"), [(1e-5, 1), (5e-5, 1), (1e-4, 8), (1e-3, 8)])
def test_what_a_study_varies_is_an_argument_and_changes_nothing_else(recipe, rate, batch):
    usual, varied = recipe(), recipe(learning_rate=rate, batch_size=batch, head_init="xavier", head_gain=10.0)
    varied.check()
    training = dataclasses.replace(usual.training, learning_rate=rate, batch_size=batch)
    method = dataclasses.replace(usual.method, head_init="xavier", head_gain=10.0)
    assert varied == dataclasses.replace(usual, training=training, method=method)
