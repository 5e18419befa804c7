"""The embedded backbone: its weights are read whole, silently, and are worth having."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from transformers import ViTForImageClassification

from lora_ensemble.backbones.digits_vit import WEIGHTS, DigitsViT
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.engine.surgery import attention_projections
from lora_ensemble.saved import load_backbone


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return DigitsViT().load(10)


def class_tokens(model: ViTForImageClassification, split) -> np.ndarray:
    inputs = DigitsViT().load(10)
    batch = inputs.prepare(inputs.collate(split.examples))
    with torch.no_grad():
        return model.eval().vit(**batch).last_hidden_state[:, 0].numpy()


def test_every_tensor_of_the_file_is_in_the_model(backbone):
    stored = sorted(
        (tuple(t.shape), t.double().sum().item()) for t in load_file(WEIGHTS / "model.safetensors").values()
    )
    loaded = sorted((tuple(t.shape), t.double().sum().item()) for t in backbone.model.vit.state_dict().values())
    assert stored == loaded
    assert {p.dtype for p in backbone.model.parameters()} == {torch.float32}


def test_weights_stay_under_a_megabyte():
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) < 1e6


def test_head_and_projections_are_found(backbone):
    assert backbone.model.get_submodule(backbone.head).out_features == 10
    assert len(attention_projections(backbone.model)) == 4 * backbone.model.config.num_hidden_layers


def test_the_head_is_drawn_from_the_global_seed():
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        heads.append(DigitsViT().load(3).model.classifier.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_without_dropout_by_default(backbone):
    config = backbone.model.config
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0
    assert config._attn_implementation == "sdpa"


def test_black_is_minus_one_and_white_is_one(backbone):
    examples = [{"image": np.full((8, 8), level, np.uint8)} for level in (0, 255)]
    values = backbone.prepare(backbone.collate(examples))["pixel_values"]
    assert values.shape == (2, 1, 8, 8)
    assert [values[0].unique().tolist(), values[1].unique().tolist()] == [[-1.0], [1.0]]


def test_its_source_loads_it_again(backbone):
    again = load_backbone(backbone.source)
    for name, tensor in backbone.model.vit.state_dict().items():
        assert torch.equal(tensor, again.vit.state_dict()[name])


def test_loading_prints_nothing(capfd):
    DigitsViT().load(10)
    assert capfd.readouterr() == ("", "")


def test_pretraining_helps_to_read_digits(backbone):
    """A logistic regression on the class token: 200 labelled digits, frozen weights, pretrained against random."""
    data = Digits(train_examples=200)
    train, test = data.load("train"), data.load("test")
    torch.manual_seed(0)
    accuracy = []
    for model in (backbone.model, ViTForImageClassification(backbone.model.config)):
        tokens = class_tokens(model, train)
        scale = tokens.mean(0), tokens.std(0)
        probe = LogisticRegression(max_iter=2000).fit((tokens - scale[0]) / scale[1], train.labels)
        accuracy.append(probe.score((class_tokens(model, test) - scale[0]) / scale[1], test.labels))
    assert accuracy[0] > 0.92
    assert accuracy[0] > accuracy[1] + 0.1
