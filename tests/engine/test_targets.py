"""Which layers a configuration adapts: PEFT's rules, checked against PEFT itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.layers.heads import MemberHead
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.surgery import attention_projections, linears
from lora_ensemble.engine.targets import find_targets, short_names
from lora_ensemble.errors import NoMatchError
from tiny_models import TINY, around_peft

CONFIGURATIONS: list[tuple[str, dict[str, Any]]] = [
    ("vit", {"target_modules": ["q_proj", "v_proj"]}),
    ("vit", {"target_modules": r".*\.(q_proj|fc1)"}),
    ("vit", {"target_modules": ["q_proj", "fc1"], "layers_to_transform": [1]}),
    ("vit", {"target_modules": ["q_proj", "fc1"], "layers_to_transform": 0}),
    ("vit", {"target_modules": "all-linear", "exclude_modules": ["fc2", "classifier"]}),
    ("vit", {"target_modules": ["q_proj", "k_proj"], "rank_pattern": {"k_proj": 5}, "alpha_pattern": {"q_proj": 3}}),
    ("vit", {"target_modules": ["q_proj"], "rank_pattern": {r"layers\.1\.attention\.q_proj": 5}, "use_rslora": True}),
    ("bert", {"target_modules": ["query", "attention.output.dense"], "layers_to_transform": [0]}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": "layers"}),
    ("gpt2", {"target_modules": ["c_attn"]}),
    ("timm-vit", {"target_modules": ["qkv"], "layers_to_transform": [1], "layers_pattern": "blocks"}),
    ("plain", {"target_modules": ["to_out"], "exclude_modules": r"blocks\.0\..*"}),
]


@around_peft
@pytest.mark.parametrize(("name", "config"), CONFIGURATIONS)
def test_the_same_layers_ranks_and_scales_as_peft(name: str, config: dict[str, Any]) -> None:
    common = {"r": 4, "lora_alpha": 6} | config
    targets = find_targets(TINY[name].build(), LoraEnsembleConfig(**common))
    peft = get_peft_model(TINY[name].build(), LoraConfig(**common)).base_model.model
    expected = {
        path: (layer.lora_A["default"].out_features, layer.scaling["default"])
        for path, layer in peft.named_modules()
        if hasattr(layer, "lora_A") and len(layer.lora_A)
    }
    assert {t.path: (t.r, pytest.approx(t.scale)) for t in targets} == expected


@pytest.mark.parametrize("name", sorted(TINY))
def test_the_default_is_every_projection_also_of_some_layers(name: str) -> None:
    model = TINY[name].build()
    config = LoraEnsembleConfig()
    targets = find_targets(model, config)
    assert [t.path for t in targets] == [p for p in linears(model) if p in attention_projections(model)]
    if name != "swin":
        some = find_targets(model, LoraEnsembleConfig(layers_to_transform=[1]))
        assert [t.path for t in some] == [t.path for t in targets if ".1." in t.path]


def test_short_names() -> None:
    model = TINY["bert"].build()
    assert short_names(model, attention_projections(model)) == {"query", "key", "value", "attention.output.dense"}
    timm = TINY["timm-vit"].build()  # the convolution that cuts patches is a "proj", too
    assert short_names(timm, attention_projections(timm)) == {"qkv", "attn.proj"}
    nested = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.ModuleDict({"a": nn.Linear(2, 2)})})
    assert short_names(nested, ["b.a"]) == {"b.a"}
    assert short_names(nested, ["a", "b.a"]) == {"a"}


def test_all_linear_leaves_heads_and_output_layers() -> None:
    for name, kept in (("vit", "classifier"), ("roberta", "classifier.dense"), ("llama", "lm_head"), ("plain", "head")):
        model = TINY[name].build()
        paths = {t.path for t in find_targets(model, LoraEnsembleConfig(target_modules="all-linear"))}
        assert paths < set(linears(model))
        assert kept not in paths


def test_heads_are_not_adapted() -> None:
    """A pattern that matches inside the head, too: every member has a head of its own already."""
    ensemble = LoraEnsemble(TINY["roberta"].build(), LoraEnsembleConfig(target_modules=["dense"], members=2))
    assert isinstance(ensemble.model.classifier.dense, MemberHead)
    assert isinstance(ensemble.model.classifier.out_proj, MemberHead)


@pytest.mark.parametrize(("name", "path"), [("timm-vit", "qkv"), ("plain", "to_qkv"), ("gpt2", "attn.c_attn")])
def test_fused_projections(name: str, path: str) -> None:
    for fused, splits in (("separate", 3), ("joint", 1)):
        targets = find_targets(TINY[name].build(), LoraEnsembleConfig(fused_qkv=fused))
        assert {t.splits for t in targets if t.path.endswith(path)} == {splits}
        assert {t.splits for t in targets if not t.path.endswith(path)} == {1}


def test_scales() -> None:
    config = LoraEnsembleConfig(r=4, lora_alpha=6, use_rslora=True, alpha_pattern={"k_proj": 8})
    scales = {t.path.rpartition(".")[2]: t.scale for t in find_targets(TINY["vit"].build(), config)}
    assert scales["q_proj"] == pytest.approx(6 / math.sqrt(4))
    assert scales["k_proj"] == pytest.approx(8 / math.sqrt(4))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"target_modules": ["q_prj"]}, r"no target module 'q_prj' in this model\. Did you mean 'q_proj'\?"),
        ({"target_modules": r".*qproj"}, r"no layer to adapt: target_modules = '\.\*qproj' in this model\."),
        (
            {"target_modules": ["q_proj"], "exclude_modules": ["q_proj"]},
            r"target_modules = \{'q_proj'\}, exclude_modules = \{'q_proj'\} in this model",
        ),
        ({"layers_to_transform": [7]}, r"layers_to_transform = \[7\]"),
        ({"layers_to_transform": [1, 7]}, r"no block 7 of layers_to_transform = \[1, 7\] in this model\. There is: "),
        ({"rank_pattern": {"q_prj": 2}}, r"no adapted layer for rank_pattern\['q_prj'\] .* Did you mean 'q_proj'\?"),
        ({"alpha_pattern": {"fc1": 2}}, r"no adapted layer for alpha_pattern\['fc1'\]"),
    ],
)
def test_what_matches_nothing_lists_what_there_is(config: dict[str, Any], message: str) -> None:
    with pytest.raises(NoMatchError, match=message) as raised:
        find_targets(TINY["vit"].build(), LoraEnsembleConfig(**config))
    assert "vit.layers.*." in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_inside_of_multihead_attention_can_be_adapted_where_it_is_of_one_width() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.self_attn = nn.MultiheadAttention(8, 2, kdim=4, vdim=4)

    with pytest.raises(NoMatchError, match=r"self_attn\.out_proj is part of a torch\.nn\.MultiheadAttention"):
        LoraEnsemble(Attending(), LoraEnsembleConfig(target_modules=["out_proj"], modules_to_save=[]))
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), 2, enable_nested_tensor=False)
    with pytest.raises(NoMatchError, match=r"no target module 'out_prj' in this model"):
        LoraEnsemble(model, LoraEnsembleConfig(target_modules=["out_prj"], modules_to_save=[]))
    assert not any(type(m).__module__.startswith("lora_ensemble") for m in model.modules())
    ensemble = LoraEnsemble(model, LoraEnsembleConfig(members=2, target_modules=["linear1"], modules_to_save=[]))
    assert ensemble.train()(src=torch.randn(3, 4, 8)).logits.shape == (2, 3, 4, 8)
