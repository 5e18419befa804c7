"""torchvision's ViTs in transformers' architecture: torchvision itself is the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models import VisionTransformer, get_model
from torchvision.transforms.v2.functional import resize

from lora_ensemble import registry
from lora_ensemble.backbones.torchvision_vit import IMAGENET_MEAN, IMAGENET_STD, TorchvisionVit, vit
from lora_ensemble.conversions.torchvision import ARCHITECTURES, transformers_config
from lora_ensemble.errors import FileFormatError, UserError
from tolerance import close


def fill(model, seed=0):
    """Every tensor random, also those that torchvision starts at zero or one; layers keep the size of their input.

    Numbers come from one long row again and again: drawing 632 million would cost more than the comparison."""
    row = torch.rand(1_000_003, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    for i, (name, p) in enumerate(model.state_dict().items()):
        mixed = row.roll(7919 * i) * (0.05 if p.ndim != 2 else (3 / p.shape[1]) ** 0.5)
        for part in p.view(-1).split(len(row)):
            part.copy_(mixed[: len(part)])
        if ".ln" in name and name.endswith("weight"):
            p.add_(1)
    return model.eval()


def without_drawing(arch, **options):
    """torchvision's model without the cost of its own random start, which `fill` replaces."""
    with torch.device("meta"):
        model = get_model(arch, **options)
    return fill(model.to_empty(device="cpu"))


def small(image_size=64, patch_size=32, layers=2, **options):
    model = VisionTransformer(image_size, patch_size, layers, num_heads=4, hidden_dim=64, mlp_dim=96, **options)
    return fill(model)


@torch.no_grad()
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_logits_are_torchvisions_at_full_size(arch):
    reference = without_drawing(arch)
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    expected = reference(x)
    state = reference.state_dict()
    del reference  # the largest has 2.5 GB
    model = vit(state, num_classes=1000)
    assert expected.std() > 0.1
    close(model(x).logits, expected, depth=256)


@torch.no_grad()
def test_the_names_in_torchvisions_published_files_are_read():
    state = small().state_dict()
    old = {k.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): v for k, v in state.items()}
    assert old.keys() != state.keys()
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(vit(old, 1000, num_heads=4)(x).logits, vit(state, 1000, num_heads=4)(x).logits)


def test_the_model_is_a_copy_and_leaves_the_state_dict_alone():
    state = small().state_dict()
    before = {k: v.clone() for k, v in state.items()}
    model = vit(state, num_classes=3, num_heads=4)
    for p in model.parameters():
        p.data.zero_()
    assert all(torch.equal(before[k], state[k]) for k in state)


def test_a_head_of_another_size_is_drawn_from_the_seed():
    state = small(num_classes=1000).state_dict()
    heads = []
    for _ in range(2):
        torch.manual_seed(5)
        heads.append(vit(state, num_classes=7, num_heads=4).classifier.weight)
    assert heads[0].shape == (7, 64)
    assert torch.equal(*heads)
    assert torch.equal(vit(state, 1000, num_heads=4).classifier.weight, state["heads.head.weight"])


def test_image_size_comes_from_the_position_embedding():
    assert transformers_config(small(96, 16).state_dict(), num_heads=4)["image_size"] == 96


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("encoder.ln.weight"), "vit.layernorm.weight is missing"),
        (lambda s: s.pop("conv_proj.weight"), "'conv_proj.weight' is missing"),
        (lambda s: s.update({"encoder.lm.weight": s["encoder.ln.weight"]}), "'encoder.lm.weight' (near"),
        (lambda s: s.update({"encoder.ln.weight": torch.ones(65)}), "vit.layernorm.weight is missing or of a wrong"),
        (lambda s: s.update({"heads.pre_logits.weight": torch.ones(64, 64)}), "heads.pre_logits.weight"),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused(change, said):
    state = dict(small().state_dict())
    change(state)
    with pytest.raises(FileFormatError) as error:
        vit(state, 1000, num_heads=4)
    assert said in str(error.value)


def test_the_plug_in_is_found_and_loads_a_local_file(tmp_path):
    reference = fill(VisionTransformer(64, 32, 12, 12, 768, 96))
    torch.save(reference.state_dict(), tmp_path / "w.pth")
    assert registry.config_class("backbones", "torchvision-vit") is TorchvisionVit
    loaded = TorchvisionVit(weights=str(tmp_path / "w.pth"), normalisation="none").load(1000)
    assert loaded.head == "classifier"
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    inputs = loaded.prepare(loaded.collate([{"image": image}]))
    plain = resize(torch.from_numpy(image).permute(2, 0, 1)[None] / 255, [64, 64], antialias=True)
    close(inputs["pixel_values"], plain)
    with torch.no_grad():
        close(loaded.model(**inputs).logits, reference(plain), depth=256)


def test_normalisation_is_imagenets_unless_none_is_asked_for():
    image = np.full((224, 224, 3), 255, dtype=np.uint8)
    inputs = TorchvisionVit().inputs(224)
    got = inputs.prepare(inputs.collate([{"image": image}]))["pixel_values"][0, :, 0, 0]
    expected = (1 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    torch.testing.assert_close(got, expected)
    assert TorchvisionVit(weights="IMAGENET1K_SWAG_LINEAR_V1").inputs(224).interpolation == "bicubic"


def test_random_weights_follow_the_seed_and_the_architecture():
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(TorchvisionVit(weights="random").load(5).model)
    first, second = (m.state_dict() for m in models)
    assert all(torch.equal(first[k], second[k]) for k in first)
    with torch.device("meta"):
        config = transformers_config(get_model("vit_b_32").state_dict())
    assert config == {field: getattr(models[0].config, field) for field in config}


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        (TorchvisionVit(weights="IMAGENET1K_V2"), "Did you mean 'IMAGENET1K_V1'?"),
        (TorchvisionVit(weights="nowhere.pth"), "There are IMAGENET1K_V1"),
    ],
)
def test_unknown_weights_name_the_nearest(backbone, said):
    with pytest.raises(UserError) as error:
        backbone.load(10)
    assert said in str(error.value)


def test_weights_that_cannot_be_downloaded_are_the_users_to_find(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def no_net(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", no_net)
    with pytest.raises(UserError, match=r"vit_b_32 IMAGENET1K_V1 cannot be had .*no route to host.*give its path"):
        TorchvisionVit().load(10)


def test_a_file_of_another_architecture_names_both(tmp_path):
    torch.save(small().state_dict(), tmp_path / "small.pth")
    torch.save(fill(VisionTransformer(64, 16, 12, 12, 768, 96)).state_dict(), tmp_path / "b16.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "small.pth").read_bytes()[:1000])
    for name, said in (
        ("small.pth", "no torchvision ViT has width 64"),
        ("b16.pth", "has patch size 16, vit_b_32 has 32"),
        ("list.pth", "holds a list"),
        ("cut.pth", "holds no weights"),
    ):
        with pytest.raises(FileFormatError, match=said):
            TorchvisionVit(weights=str(tmp_path / name)).load(3)
