"""The recipes of the language experiments have the published hyper-parameters, and arguments for what studies vary."""

from __future__ import annotations

import dataclasses

import pytest

from lora_ensemble import registry
from lora_ensemble.recipes import commonsense_qa, mmlu

PUBLISHED = [
    f"{data}-{kind}" for data in ("commonsense-qa", "mmlu") for kind in ("lora", "single-lora", "next-token-lora")
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_hyper_parameters_are_the_published_ones(name):
    experiment = registry.recipe(name)
    b, m, t = experiment.backbone, experiment.method, experiment.training
    assert b.name == "mistralai/Mistral-7B-v0.1"
    assert b.loss == ("next-token" if "next-token" in name else "single-token")
    assert (m.r, m.lora_alpha, m.lora_dropout, m.lora_l2, m.target_modules) == (8, 32, 0.0, 1.0, ("q_proj", "v_proj"))
    assert m.members == (1 if "single" in name else 5)
    assert (t.optimizer, t.learning_rate, t.weight_decay, t.schedule) == ("adamw", 5e-6, 0.0, "constant")
    assert (t.batch_size, t.gradient_clip, t.clip, t.epochs) == (8, 0.3, "member", 10)
    assert (t.data_order, t.save) == ("independent", "epoch")


@pytest.mark.parametrize("recipe", [commonsense_qa.lora, commonsense_qa.small_lora, mmlu.lora, mmlu.small_lora])
def test_what_a_study_varies_is_an_argument(recipe):
    usual, varied = recipe(), recipe(members=2, rank=4, lora_l2=0.1, dropout=0.2)
    varied.check()
    fields = {"members": 2, "r": 4, "lora_l2": 0.1, "lora_dropout": 0.2}
    assert varied == dataclasses.replace(usual, method=dataclasses.replace(usual.method, **fields))


def test_other_models_groups_and_shots():
    assert commonsense_qa.lora("meta-llama/Llama-2-13b-hf").backbone.name == "meta-llama/Llama-2-13b-hf"
    assert mmlu.lora(group="ss").dataset.group == "ss"
    few_shot = mmlu.zero_shot(group="stem", shots=5)
    few_shot.check()
    assert (few_shot.dataset.group, few_shot.dataset.shots) == ("stem", 5)
    assert few_shot.backbone.truncate == "never"


@pytest.mark.parametrize("name", [n for n in registry.names("recipes") if "-small-" in n])
def test_what_is_for_a_laptop_has_a_small_model_in_single_precision(name):
    backbone = registry.recipe(name).backbone
    assert (backbone.name, backbone.dtype) == ("HuggingFaceTB/SmolLM2-135M", "fp32")
