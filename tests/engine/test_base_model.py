"""The base model below an ensemble: remembered, built again, and another one refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import AutoPeftModel, AutoPeftModelForCausalLM, AutoPeftModelForSequenceClassification
from safetensors.torch import save_file
from torch import nn

from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.fingerprint import fingerprint, same_base
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.pretrained import PretrainedEnsemble
from lora_ensemble.engine.provenance import source_of
from lora_ensemble.errors import FileFormatError
from lora_ensemble.saved import load_backbone
from tiny_models import CLASSES, TINY, around_peft, lively
from tolerance import close

pytestmark = around_peft

ROWS = 4


def make(model: nn.Module, **fields: Any) -> LoraEnsemble:
    ensemble = LoraEnsemble(model, **({"members": 2, "r": 2} | fields))
    generator = torch.Generator().manual_seed(3)
    for parameter in ensemble.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2, generator=generator)
    return ensemble.eval()


# Fingerprints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(TINY))
def test_another_base_is_refused_and_both_are_named(name: str, tmp_path: Path) -> None:
    make(TINY[name].build()).save_pretrained(tmp_path)
    again = Ensemble.from_pretrained(tmp_path, TINY[name].build())
    assert again.fingerprint() == json.loads((tmp_path / "ensemble.json").read_text())["base"]
    other = TINY[name].build(seed=1)
    before = dict(other.named_modules())
    with pytest.raises(
        FileFormatError, match=r"was trained over another base model: .*weights \w+, float32\); this one"
    ):
        Ensemble.from_pretrained(tmp_path, other)
    assert dict(other.named_modules()) == before  # and it is not spoilt


def test_a_head_is_no_part_of_the_base() -> None:
    """It is drawn anew whenever a classifier is loaded."""
    one, other = TINY["vit"].build(), TINY["vit"].build()
    nn.init.normal_(other.classifier.weight)
    assert make(one).fingerprint() == make(other).fingerprint()
    shared = make(TINY["vit"].build(), modules_to_save=[])
    assert shared.fingerprint() != make(TINY["vit"].build()).fingerprint()


def test_members_training_and_merging_do_not_change_it() -> None:
    one = make(TINY["vit"].build())
    more = make(TINY["vit"].build(), members=5, r=4, also_trained=["vit.layernorm"])
    assert one.merge().fingerprint() == make(TINY["vit"].build(), members=5).fingerprint()
    assert more.fingerprint() != one.fingerprint()  # the layer norm is saved with the members
    before = more.fingerprint()
    nn.init.normal_(more.model.vit.layernorm.weight)
    assert more.fingerprint() == before


@settings(max_examples=30, deadline=None)
@given(shapes=st.lists(st.lists(st.integers(1, 9), max_size=3), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_precision_aside_the_same_weights_are_the_same(shapes: list[list[int]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tensors = {f"w{i}": torch.randn(shape, generator=generator) for i, shape in enumerate(shapes)}
    whole = fingerprint(tensors)
    assert whole == fingerprint({name: t.T.contiguous().T if t.ndim == 2 else t for name, t in tensors.items()})
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        assert same_base(whole, fingerprint({name: t.to(dtype) for name, t in tensors.items()}))
    assert same_base(json.loads(json.dumps(whole)), whole)
    assert not same_base(whole, fingerprint(tensors | {"w0": tensors["w0"] + 0.5}))
    assert not same_base(whole, fingerprint({f"x{name}": t for name, t in tensors.items()}))
    assert not same_base(whole, fingerprint({name: (t + 1).bfloat16() for name, t in tensors.items()}))


def test_what_cannot_be_compared_has_none() -> None:
    assert fingerprint({"w": torch.zeros(2, 2, dtype=torch.uint8)}) is None
    assert fingerprint({"w": torch.zeros(2, 2, device="meta")}) is None
    assert fingerprint({"w": torch.zeros(0), "positions": torch.arange(3)}) is not None


def test_manifests_from_before_load(tmp_path: Path) -> None:
    make(TINY["vit"].build()).save_pretrained(tmp_path)
    manifest = json.loads((tmp_path / "ensemble.json").read_text())
    del manifest["base"], manifest["digest"]
    manifest["backbone"] = {
        "library": "transformers",
        "name": "",
        "class": "ViTForImageClassification",
        "num_labels": 5,
    }
    (tmp_path / "ensemble.json").write_text(json.dumps(manifest))
    Ensemble.from_pretrained(tmp_path, TINY["vit"].build(seed=1))


def test_a_pretrained_ensemble_remembers_its_base(tmp_path: Path) -> None:
    PretrainedEnsemble(TINY["llama"].build()).save_pretrained(tmp_path)
    Ensemble.from_pretrained(tmp_path, TINY["llama"].build())
    with pytest.raises(FileFormatError, match="was trained over another base model"):
        Ensemble.from_pretrained(tmp_path, TINY["llama"].build(seed=1))


# Building it again ------------------------------------------------------------------------------------------------


def test_a_transformers_model_is_built_with_all_its_configuration(tmp_path: Path) -> None:
    TINY["bert"].build().save_pretrained(tmp_path / "base")
    changed = {"num_labels": 3, "hidden_dropout_prob": 0.5, "layer_norm_eps": 1e-3}
    model = tf.BertForSequenceClassification.from_pretrained(
        tmp_path / "base", ignore_mismatched_sizes=True, dtype=torch.bfloat16, **changed
    )
    ensemble = make(model)
    ensemble.save_pretrained(tmp_path / "ensemble")
    again = Ensemble.from_pretrained(tmp_path / "ensemble")
    assert again.model.dtype == torch.bfloat16
    assert {name: getattr(again.model.config, name) for name in changed} == changed
    inputs, _ = TINY["bert"].batch(ROWS)
    assert torch.equal(again(**inputs).logits, ensemble(**inputs).logits)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"img_size": 80},
        {"depth": 3},
        {"depth": 2, "img_size": 64, "embed_dim": 48, "num_heads": 4, "patch_size": 8, "mlp_ratio": 2.0},
        {"global_pool": "avg", "in_chans": 1},
    ],
)
def test_a_timm_model_is_built_with_all_its_arguments(arguments: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = lively(timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, **arguments)).eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    overlay = {"file": str(tmp_path / "model.safetensors")}
    source = source_of(model)
    assert source["arguments"] is not None
    own = timm.create_model(
        "vit_tiny_patch16_224", num_classes=CLASSES, pretrained=True, pretrained_cfg_overlay=overlay, **arguments
    )
    again = load_backbone(json.loads(json.dumps(source_of(own)))).eval()
    size = arguments.get("img_size", 224)
    x = torch.randn(2, arguments.get("in_chans", 3), size, size)
    assert torch.equal(again.forward_features(x), model.forward_features(x))  # its head is drawn anew


def test_a_timm_model_that_was_changed_by_hand_must_be_given(tmp_path: Path) -> None:
    model = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=CLASSES)
    model.blocks[1].attn.num_heads = 1  # another network, of the same shapes
    plain = copy.deepcopy(model)
    make(model).save_pretrained(tmp_path)
    with pytest.raises(FileFormatError, match=r"does not say how vit_tiny_patch16_224\S* was changed; give it: "):
        Ensemble.from_pretrained(tmp_path)
    Ensemble.from_pretrained(tmp_path, plain)


def test_a_manifest_cannot_name_just_anything() -> None:
    source = {"library": "transformers", "name": "x", "class": "pipeline"}
    with pytest.raises(FileFormatError, match=r"names 'pipeline', which is no model class of transformers$"):
        load_backbone(source)


# Folders ----------------------------------------------------------------------------------------------------------


def test_a_smaller_ensemble_leaves_no_member_of_a_larger_one(tmp_path: Path) -> None:
    make(TINY["vit"].build(), members=4).save_pretrained(tmp_path)
    (tmp_path / "notes").mkdir()
    make(TINY["vit"].build(), members=2, first_member=1).save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ensemble.json", "member-001", "member-002", "notes"]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of PEFT, about the tokenizer that is not there
@pytest.mark.parametrize(
    ("name", "auto"),
    [
        ("bert", AutoPeftModelForSequenceClassification),
        ("llama", AutoPeftModelForCausalLM),
        ("vit", AutoPeftModel),
    ],
)
def test_exported_members_load_with_nothing_but_their_folder(name: str, auto: Any, tmp_path: Path) -> None:
    TINY[name].build().save_pretrained(tmp_path / "base")
    model = type(TINY[name].build()).from_pretrained(tmp_path / "base")
    ensemble = make(model)
    ensemble.save_pretrained(tmp_path / "ensemble")
    saved = json.loads((tmp_path / "ensemble" / "member-001" / "adapter_config.json").read_text())
    assert set(saved["target_modules"]) == set(ensemble.targets)  # full paths
    inputs, _ = TINY[name].batch(ROWS)
    options = {"num_labels": CLASSES} if TINY[name].head else {}
    peft = auto.from_pretrained(str(tmp_path / "ensemble" / "member-001"), **options).eval()
    close(peft(**inputs).logits, ensemble(**inputs).logits[1])
