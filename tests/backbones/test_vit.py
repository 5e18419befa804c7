"""Models from a folder: tiny ones saved here, and (marked data) real timm weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from lora_ensemble.backbones.vit import ViT
from lora_ensemble.errors import FileFormatError, UserError
from lora_ensemble.saved import load_backbone

# Within 64..192: Pillow cuts off what bicubic resizing overshoots after each of its two passes, we once.
IMAGES = [{"image": np.random.default_rng(m).integers(64, 192, (20, 27, 3), dtype=np.uint8)} for m in range(3)]


@pytest.fixture
def saved(tmp_path):
    """A folder with a tiny model of 5 classes and its preprocessor."""
    config = ViTConfig(
        image_size=16,
        patch_size=8,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_labels=5,
    )
    torch.manual_seed(0)
    ViTForImageClassification(config).save_pretrained(tmp_path)
    processor = ViTImageProcessor(
        size={"height": 16, "width": 16}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.4]
    )
    processor.save_pretrained(tmp_path)
    return tmp_path


def test_weights_are_the_saved_ones_under_a_new_head(saved):
    backbone = ViT(str(saved)).load(7)
    for name, tensor in ViTForImageClassification.from_pretrained(saved).vit.state_dict().items():
        assert torch.equal(tensor, backbone.model.vit.state_dict()[name])
    assert backbone.model.get_submodule(backbone.head).out_features == 7


def test_inputs_are_those_of_the_models_own_preprocessor(saved):
    backbone = ViT(str(saved)).load(7)
    inputs = backbone.prepare(backbone.collate(IMAGES))
    own = ViTImageProcessor.from_pretrained(saved)([i["image"] for i in IMAGES], return_tensors="pt")
    torch.testing.assert_close(inputs["pixel_values"], own["pixel_values"], atol=1.01 / 255 / 0.2, rtol=0)
    assert backbone.model(**inputs).logits.shape == (3, 7)


def test_without_a_preprocessor_it_says_what_it_does(saved):
    (saved / "preprocessor_config.json").unlink()
    with pytest.warns(UserWarning, match="no preprocessor_config.json"):
        backbone = ViT(str(saved)).load(7)
    values = backbone.prepare(backbone.collate([{"image": np.full((16, 16), 255, np.uint8)}]))["pixel_values"]
    assert torch.equal(values, torch.ones(1, 3, 16, 16))


def test_its_source_loads_it_again(saved):
    backbone = ViT(str(saved)).load(7)
    again = load_backbone(json.loads(json.dumps(backbone.source)))
    assert torch.equal(again.vit.layernorm.weight, backbone.model.vit.layernorm.weight)
    assert again.classifier.out_features == 7


def test_a_missing_folder_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match=r"no image classifier .*nothing.*: expected a local folder, a hub id"):
        ViT(str(tmp_path / "nothing")).load(2)


def test_truncated_weights_are_refused(saved):
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(FileFormatError, match="cannot be read"):
        ViT(str(saved)).load(5)


def test_weights_of_another_model_are_refused(saved):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(FileFormatError, match=r"do not fit its config.json"):
        ViT(str(saved)).load(5)


def test_a_weights_file_is_for_timm_alone(saved):
    with pytest.raises(UserError, match="is for timm/ names only"):
        ViT(str(saved), weights="model.safetensors").load(5)


def test_an_unknown_timm_architecture_suggests_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'timm/vit_tiny_patch16_224'"):
        ViT("timm/vit_tiny_patch16_244").load(2)


def test_missing_and_foreign_timm_weights_are_refused(tmp_path):
    with pytest.raises(FileFormatError, match="no such file"):
        ViT("timm/vit_tiny_patch16_224", weights=str(tmp_path / "none.safetensors")).load(2)
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"not weights")
    with pytest.raises(FileFormatError, match=r"weights of 'vit_tiny_patch16_224' from .*foreign.safetensors"):
        ViT("timm/vit_tiny_patch16_224", weights=str(foreign)).load(2)


@pytest.mark.data
def test_real_timm_weights_and_their_data_configuration(data_dir):
    import timm
    from PIL import Image

    folder = data_dir / "weights" / "vit_tiny_patch16_224"
    backbone = ViT("timm/vit_tiny_patch16_224", weights=str(folder)).load(4)
    plain = timm.create_model("vit_tiny_patch16_224", checkpoint_path=folder / "model.safetensors").eval()
    own = timm.data.create_transform(
        **{**timm.data.resolve_model_data_config(plain), "crop_pct": 1.0, "crop_mode": "squash"}
    )
    inputs = backbone.prepare(backbone.collate(IMAGES[:1]))
    torch.testing.assert_close(
        inputs["x"], own(Image.fromarray(IMAGES[0]["image"]))[None], atol=1.1 / 255 / 0.5, rtol=0
    )
    with torch.no_grad():
        features = backbone.model.eval().forward_features(inputs["x"])
        torch.testing.assert_close(features, plain.forward_features(inputs["x"]))
    assert backbone.head == "head"
    assert backbone.model(**inputs).shape == (1, 4)


def test_another_image_size_is_for_timm_and_for_networks_that_take_one(saved, tmp_path):
    with pytest.raises(UserError, match="image_size = 32: is for timm/ names only"):
        ViT(str(saved), image_size=32).load(5)
    assert ViT("timm/vit_tiny_patch16_224", image_size=0).problems() == ["backbone.image_size = 0: must be at least 1"]


@pytest.mark.data
def test_another_image_size_keeps_the_weights_and_interpolates_the_positions(data_dir):
    folder = str(data_dir / "weights" / "vit_tiny_patch16_224")
    native, small = (ViT("timm/vit_tiny_patch16_224", folder, image_size=size).load(4) for size in (None, 64))
    inputs = small.prepare(small.collate(IMAGES[:1]))
    assert inputs["x"].shape == (1, 3, 64, 64)
    assert small.model(**inputs).shape == (1, 4)
    assert small.model.pos_embed.shape == (1, 1 + 16, 192)
    theirs = native.model.state_dict()
    for name, values in small.model.state_dict().items():
        if name != "pos_embed" and not name.startswith("head"):
            torch.testing.assert_close(values, theirs[name])
    assert small.source["image_size"] == 64
    with pytest.raises(UserError, match="image_size = 64: 'resnet18' takes none"):
        ViT("timm/resnet18", folder, image_size=64).load(4)
