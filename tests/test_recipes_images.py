"""The recipes of the image tables have the published hyper-parameters, and arguments for what the studies vary."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lora_ensemble import registry
from lora_ensemble.recipes import cifar100, ham10000
from lora_ensemble.training.class_weights import class_weights
from lora_ensemble.training.optimisation import Plan

METHODS = ["single", "single-lora", "mc-dropout", "snapshot", "deep", "lora"]
DATASETS = ["cifar10", "cifar100", "ham10000"]
# Published training images, and the steps that the published settings come to.
STEPS = {"cifar10": (50000, 25008), "cifar100": (50000, 25008), "ham10000": (8012, 16315)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_each_cell_of_the_tables_is_a_recipe(dataset, method):
    experiment = registry.recipe(f"{dataset}-{method}")
    experiment.check()
    assert registry.name_of(experiment.method) == method
    assert registry.name_of(experiment.dataset) == dataset
    assert (registry.name_of(experiment.backbone), experiment.backbone.arch) == ("torchvision-vit", "vit_b_32")
    assert experiment.method.members == (1 if method.startswith("single") else 16)
    t = experiment.training
    assert (t.optimizer, t.learning_rate, t.betas, t.weight_decay) == ("adamw", 1e-4, (0.9, 0.999), 0.0)
    assert (t.batch_size, t.gradient_clip, t.precision) == (32, 1.0, "fp32")
    assert t.schedule == ("cyclic-cosine" if method == "snapshot" else "cosine")
    assert t.warmup_steps == (1000 if method == "mc-dropout" else 500)
    weights = ("ens", 0.9991) if dataset == "ham10000" else ("uniform", t.ens_beta)
    assert (t.class_weights, t.ens_beta) == weights


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_published_protocol_comes_to_the_published_number_of_steps(dataset):
    training = registry.recipe(f"{dataset}-lora").training
    images, steps = STEPS[dataset]
    assert Plan.of(training, -(-images // 32), 16).total_steps == steps


@pytest.mark.parametrize(("dataset", "r"), [("cifar10", 8), ("cifar100", 8), ("ham10000", 4)])
def test_low_rank_updates_start_as_published(dataset, r):
    for method in ("lora", "single-lora"):
        lora = registry.recipe(f"{dataset}-{method}").method
        assert (lora.r, lora.lora_alpha, lora.init_a, lora.init_gain) == (r, None, "xavier", 10.0)
        assert lora.head_init == "default"


def test_dropout_is_as_published():
    for dataset in DATASETS:
        method = registry.recipe(f"{dataset}-mc-dropout").method
        assert (method.p, method.dropout, method.heads) == (0.2, "dropkey", "member")


@pytest.mark.parametrize(
    ("recipe", "arguments", "part"),
    [
        (cifar100.lora, {"members": 4, "r": 32}, "method"),
        (cifar100.lora, {"init_a": "gaussian", "init_std": 0.5}, "method"),
        (cifar100.lora, {"init_gain": 30.0}, "method"),
        (cifar100.deep, {"noise_scale": 0.1, "noise_blocks": 3}, "method"),
        (cifar100.deep, {"head_init": "gaussian", "head_std": 2.0}, "method"),
        (cifar100.deep, {"head_init": "xavier", "head_gain": 0.05}, "method"),
        (ham10000.deep, {"noise_scale": 0.0005}, "method"),
        (ham10000.mc_dropout, {"p": 0.7}, "method"),
        (ham10000.lora, {"r": 16, "init_gain": 1.0}, "method"),
        (ham10000.lora, {"epochs": 80, "weight_decay": 0.1}, "training"),
        (ham10000.lora, {"class_weights": "isns"}, "training"),
        (ham10000.lora, {"class_weights": "ens", "ens_beta": 0.9}, "training"),
    ],
)
def test_what_a_study_varies_is_an_argument_and_changes_nothing_else(recipe, arguments, part):
    usual, varied = recipe(), recipe(**arguments)
    varied.check()
    assert varied == dataclasses.replace(usual, **{part: dataclasses.replace(getattr(usual, part), **arguments)})


@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        ("ins", lambda n: 1 / n),
        ("isns", lambda n: n**-0.5),
        ("ens", lambda n: (1 - 0.9991) / (1 - 0.9991**n)),
    ],
)
def test_class_weights_of_the_lesions(kind, formula):
    counts = [879, 5364, 92, 890, 114, 411, 262]
    weights = class_weights(np.repeat(np.arange(7), counts), 7, kind, beta=0.9991)
    expected = [formula(n) for n in counts]
    np.testing.assert_allclose(weights, np.array(expected) / sum(expected), rtol=1e-6)
