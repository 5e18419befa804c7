"""What every backbone keeps, those of tomorrow included: found by the registry, each in a tiny local form of itself.

A new backbone needs a line in TINY: a function of an empty folder that puts weights there, where it needs some, and
returns the configuration.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lora_ensemble import registry
from lora_ensemble.contracts import Backbone, Example, LoadedBackbone
from lora_ensemble.methods.lora import Lora
from lora_ensemble.saved import load_backbone
from tiny_encoders import save_encoder
from tiny_language_models import QUESTIONS, save_model
from tiny_models import lively
from tolerance import close

CLASSES = 3


def ast(folder: Path) -> Backbone:
    from transformers import ASTConfig, ASTForAudioClassification

    from lora_ensemble.backbones.ast import Ast

    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = ASTConfig(**small, patch_size=16, max_length=60, num_mel_bins=32)
    lively(ASTForAudioClassification(config)).save_pretrained(folder)
    return Ast(name=str(folder), frames=60, bins=32)


def causal_lm(folder: Path) -> Backbone:
    from lora_ensemble.backbones.causal_lm import CausalLM

    return CausalLM(save_model(folder, "llama"), dtype="fp32")


def digits_vit(_: Path) -> Backbone:
    from lora_ensemble.backbones.digits_vit import DigitsViT

    return DigitsViT()


def text(folder: Path) -> Backbone:
    from lora_ensemble.backbones.text import Text

    return Text(str(save_encoder(folder, "bert")))


def torchvision_vit(folder: Path) -> Backbone:
    from torchvision.models import VisionTransformer

    from lora_ensemble.backbones.torchvision_vit import TorchvisionVit

    torch.save(VisionTransformer(64, 32, 12, 12, 768, 96).state_dict(), folder / "weights.pth")
    return TorchvisionVit(weights=str(folder / "weights.pth"))


def vit(folder: Path) -> Backbone:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    from lora_ensemble.backbones.vit import ViT

    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    lively(ViTForImageClassification(ViTConfig(**small, image_size=16, patch_size=8))).save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    return ViT(str(folder))


TINY: dict[str, Callable[[Path], Backbone]] = {
    "ast": ast,
    "causal-lm": causal_lm,
    "digits-vit": digits_vit,
    "text": text,
    "torchvision-vit": torchvision_vit,
    "vit": vit,
}


def examples_of(modality: str) -> list[Example]:
    """Three examples that differ; images of one size: those of several are rounded to bytes when they are resized."""
    random = np.random.default_rng(0)
    return {
        "image": [{"image": random.integers(0, 256, (12, 15, 3), dtype=np.uint8)} for _ in range(3)],
        "audio": [{"audio": random.standard_normal(9000 + 500 * i).astype("float32") / 9} for i in range(3)],
        "text": [{"text": text} for text in ("the film is good", "bad", "the plot was very bad")],
        "choices": QUESTIONS,
    }[modality]


def test_every_backbone_has_a_tiny_form() -> None:
    assert set(TINY) == set(registry.names("backbones"))


@pytest.fixture(scope="module", params=registry.names("backbones"))
def backbone(request, tmp_path_factory) -> Backbone:
    if request.param not in TINY:
        pytest.fail(f"backbone {request.param!r} has no tiny form in TINY")
    torch.manual_seed(0)
    return TINY[request.param](tmp_path_factory.mktemp(request.param))


def loaded(backbone: Backbone) -> LoadedBackbone:
    torch.manual_seed(1)
    return backbone.load(CLASSES)


def logits(model: nn.Module, found: LoadedBackbone, examples: list[Example]) -> Tensor:
    with torch.no_grad():
        out = model.eval()(**found.prepare(found.collate(examples)))
    return getattr(out, "logits", out)


def test_it_has_no_problems_and_comes_back_from_its_record(backbone: Backbone) -> None:
    assert backbone.problems() == []
    record = json.loads(json.dumps(registry.record(backbone)))
    assert registry.restored("backbones", record, "backbone") == backbone


def test_logits_are_a_row_for_each_example_whatever_is_beside_it(backbone: Backbone) -> None:
    found, examples = loaded(backbone), examples_of(backbone.modality)
    together = logits(found.model, found, examples)
    assert together.shape == (3, CLASSES + len(found.other_classes))
    assert together.isfinite().all()
    alone = torch.cat([logits(found.model, found, [example]) for example in examples])
    close(together, alone, depth=64)
    assert not torch.allclose(together[0], together[1])


def test_the_same_seed_gives_the_same_model(backbone: Backbone) -> None:
    one, other = loaded(backbone).model.state_dict(), loaded(backbone).model.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_its_head_is_a_module_with_an_output_for_each_class(backbone: Backbone) -> None:
    found = loaded(backbone)
    if found.head is None:
        return  # members share the model's own output layer; the next test trains them
    linears = [m for m in found.model.get_submodule(found.head).modules() if isinstance(m, nn.Linear)]
    assert linears[-1].out_features == CLASSES


def test_members_of_a_lora_ensemble_differ_and_all_learn(backbone: Backbone) -> None:
    found, examples = loaded(backbone), examples_of(backbone.modality)
    ensemble = Lora(members=2, r=2).build(found, 0)
    assert (ensemble.method, ensemble.source) == ("lora", found.source)
    labels = np.array([0, 1, 0])
    batch = found.collate_labelled(examples, labels) if found.collate_labelled else found.collate(examples)
    inputs = found.prepare({k: v for k, v in batch.items() if k != "labels"})
    out = ensemble.train()(**inputs, labels=batch.get("labels", torch.tensor(labels)))
    assert out.logits.shape[:2] == (2, 3)
    out.loss.backward()
    for name, parameter in ensemble.named_parameters():
        if parameter.requires_grad and "lora_B" in name:  # at the start B is 0, and A has no gradient
            assert parameter.grad is not None, name
            assert (parameter.grad.flatten(1).abs().sum(1) > 0).all(), name


def test_what_a_saved_ensemble_remembers_loads_it_again(backbone: Backbone) -> None:
    found, examples = loaded(backbone), examples_of(backbone.modality)
    source = json.loads(json.dumps(found.source))
    assert (source["kind"], source["num_classes"]) == (backbone.kind, CLASSES)
    torch.manual_seed(1)
    again = load_backbone(source)
    torch.testing.assert_close(logits(again, found, examples), logits(found.model, found, examples))
