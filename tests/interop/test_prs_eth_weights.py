"""Weights files in the published forms, against slow and obvious forward passes over torchvision's own tensors."""

from __future__ import annotations

import math

import pytest
import torch
from test_torchvision_vit import fill
from torch import nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer

from lora_ensemble import Ensemble, LoraEnsemble
from lora_ensemble.backbones.torchvision_vit import vit
from lora_ensemble.engine.dropout import DropoutEnsemble
from lora_ensemble.engine.networks import NetworkEnsemble
from lora_ensemble.errors import FileFormatError, UserError
from lora_ensemble.interop.prs_eth import load_weights
from tolerance import close

LAYERS, WIDTH, HEADS, MEMBERS, RANK, CLASSES = 2, 768, 12, 3, 4, 5


def network(seed=0, num_classes=CLASSES):
    """torchvision's ViT of the published width; with few layers, patches and hidden units."""
    return fill(VisionTransformer(64, 32, LAYERS, HEADS, WIDTH, 32, num_classes=num_classes), seed)


@pytest.fixture(scope="module")
def backbone():
    return network(num_classes=1000).state_dict()


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(9))


@pytest.fixture(scope="module")
def trained():
    """What LoRA_Former saves."""
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(shape, generator=generator) / math.sqrt(shape[-1])

    tensors = {}
    for i in range(LAYERS):
        for p in ("q", "k", "v", "out"):
            tensors[f"encoder_layer_{i}_{p}_proj_w_a.weight"] = draw(MEMBERS, RANK, WIDTH)
            tensors[f"encoder_layer_{i}_{p}_proj_w_b.weight"] = draw(MEMBERS, WIDTH, RANK)
    return tensors | {"head_weight": draw(MEMBERS, CLASSES, WIDTH), "head_bias": draw(MEMBERS, CLASSES)}


def saved(content, folder, name="weights.pt"):
    torch.save(content, folder / name)
    return folder / name


def attention(q, k, v):
    """One image, one head: q, k and v are (T, d)."""
    return torch.stack([torch.softmax(k @ one / math.sqrt(len(one)), 0) @ v for one in q])


def published_logits(state, trained, image, m):
    """Member m on one image (3, H, W): h = W0 x + b + B_m A_m x for q, k, v and the output projection."""
    size = state["conv_proj.weight"].shape[-1]
    patches = [
        (state["conv_proj.weight"] * image[:, y : y + size, x : x + size]).sum((1, 2, 3)) + state["conv_proj.bias"]
        for y in range(0, image.shape[1], size)
        for x in range(0, image.shape[2], size)
    ]
    h = torch.stack([state["class_token"][0, 0], *patches]) + state["encoder.pos_embedding"][0]
    for i in range(LAYERS):
        layer = {k.split(f"encoder_layer_{i}.")[1]: v for k, v in state.items() if f"encoder_layer_{i}." in k}

        def project(x, W0, bias, p, i=i):
            A, B = (trained[f"encoder_layer_{i}_{p}_proj_w_{part}.weight"][m] for part in "ab")
            return x @ W0.T + bias + (x @ A.T) @ B.T

        x = F.layer_norm(h, (WIDTH,), layer["ln_1.weight"], layer["ln_1.bias"], 1e-6)
        fused = layer["self_attention.in_proj_weight"], layer["self_attention.in_proj_bias"]
        thirds = (slice(start, start + WIDTH) for start in (0, WIDTH, 2 * WIDTH))
        q, k, v = (project(x, fused[0][third], fused[1][third], p) for third, p in zip(thirds, "qkv", strict=True))
        d = WIDTH // HEADS
        heads = [attention(q[:, a : a + d], k[:, a : a + d], v[:, a : a + d]) for a in range(0, WIDTH, d)]
        out = project(
            torch.cat(heads, 1), layer["self_attention.out_proj.weight"], layer["self_attention.out_proj.bias"], "out"
        )
        h = h + out
        x = F.layer_norm(h, (WIDTH,), layer["ln_2.weight"], layer["ln_2.bias"], 1e-6)
        x = F.gelu(x @ layer["mlp.0.weight"].T + layer["mlp.0.bias"])
        h = h + x @ layer["mlp.3.weight"].T + layer["mlp.3.bias"]
    x = F.layer_norm(h[0], (WIDTH,), state["encoder.ln.weight"], state["encoder.ln.bias"], 1e-6)
    return trained["head_weight"][m] @ x + trained["head_bias"][m]


@torch.no_grad()
def test_lora_former_gives_the_published_logits(tmp_path, backbone, trained, images):
    ensemble = load_weights(saved(trained, tmp_path), backbone)
    assert isinstance(ensemble, LoraEnsemble)
    assert not ensemble.training
    expected = torch.stack(
        [torch.stack([published_logits(backbone, trained, x, m) for x in images]) for m in range(MEMBERS)]
    )
    assert (expected[0] - expected[1]).abs().max() > 0.1
    close(ensemble(pixel_values=images).logits, expected, depth=256)


@torch.no_grad()
def test_an_older_file_has_one_head_for_all_and_leftovers(tmp_path, backbone, trained, images):
    old = {k: v for k, v in trained.items() if not k.startswith("head")}
    old |= {"model.heads.head.weight": trained["head_weight"][0], "model.heads.head.bias": trained["head_bias"][0]}
    old |= {"model.heads.head.base_model.weight": nn.Parameter(torch.empty(CLASSES, WIDTH, device="meta"))}
    shared = trained | {k: trained[k][:1].expand_as(trained[k]) for k in ("head_weight", "head_bias")}
    got, expected = (load_weights(saved(f, tmp_path), backbone)(pixel_values=images).logits for f in (old, shared))
    assert torch.equal(got, expected)


@torch.no_grad()
def test_the_ensemble_comes_back_from_its_peft_folders(tmp_path, backbone, trained, images):
    ensemble = load_weights(saved(trained, tmp_path), backbone)
    ensemble.save_pretrained(tmp_path / "ensemble")
    assert (tmp_path / "ensemble" / "member-002" / "adapter_config.json").is_file()
    again = LoraEnsemble.from_pretrained(tmp_path / "ensemble", vit(backbone, CLASSES))
    torch.testing.assert_close(again(pixel_values=images).logits, ensemble(pixel_values=images).logits)


@torch.no_grad()
def test_deep_ensemble_is_read_network_after_network(tmp_path, images):
    networks = [network(seed) for seed in range(MEMBERS)]
    parameters = [p for n in networks for p in n.parameters()]
    ensemble = load_weights(saved(parameters, tmp_path), members=MEMBERS)
    assert isinstance(ensemble, NetworkEnsemble)
    expected = torch.stack([n(images) for n in networks])
    close(ensemble(pixel_values=images).logits, expected, depth=256)


def dropout_file(reference):
    """What MCDropout saves: every registered parameter, with a head that has no numbers."""
    state = {f"model.{k}": p for k, p in reference.named_parameters() if not k.startswith("heads")}
    leftovers = {"weight": (CLASSES, WIDTH), "bias": (CLASSES,)}
    return state | {
        f"model.heads.head.base_model.{k}": nn.Parameter(torch.empty(shape, device="meta"), requires_grad=False)
        for k, shape in leftovers.items()
    }


@torch.no_grad()
def test_mc_dropout_with_its_heads(tmp_path, images):
    reference = network()
    weight, bias = torch.randn(MEMBERS, CLASSES, WIDTH), torch.randn(MEMBERS, CLASSES)
    content = dropout_file(reference) | {"model.heads.head.weight": weight, "model.heads.head.bias": bias}
    ensemble = load_weights(saved(content, tmp_path), p_drop=1e-9)  # practically never: what is left is the network
    assert isinstance(ensemble, DropoutEnsemble)
    reference.heads = nn.Identity()
    features = reference(images)
    expected = torch.einsum("mcd,bd->mbc", weight, features) + bias[:, None]
    close(ensemble(pixel_values=images).logits, expected, depth=256)


@torch.no_grad()
def test_mc_dropout_without_heads_draws_them_as_published(tmp_path, images):
    reference = network()
    path = saved(dropout_file(reference), tmp_path)
    ensemble = load_weights(path, members=MEMBERS, num_classes=CLASSES, seed=42, p_drop=1e-9)
    torch.manual_seed(42)
    drawn = VisionTransformer(64, 32, LAYERS, HEADS, WIDTH, 32)
    drawn.heads.head = nn.Linear(WIDTH, CLASSES)
    heads = [nn.Linear(WIDTH, CLASSES) for _ in range(MEMBERS)]
    reference.heads = nn.Identity()
    expected = torch.stack([head(reference(images)) for head in heads])
    close(ensemble(pixel_values=images).logits, expected, depth=256)
    with pytest.raises(FileFormatError, match=r"holds no heads.*say seed, members and num_classes"):
        load_weights(path)


def test_the_name_of_a_file_says_members_rate_and_seed(tmp_path):
    name = "MCDropout_ViT_base_32_3_members_HAM10000_settings_MCDropoutRate5.pt"
    ensemble = load_weights(saved(dropout_file(network()), tmp_path, name))
    assert (ensemble.members, ensemble.options["p"]) == (3, 0.5)
    wrong = tmp_path / "MCDropout_ViT_base_32_4_members_HAM10000_settings_MCDropoutRate5.pt"
    torch.save(dropout_file(network()) | {"head_weight": torch.ones(3, 7, WIDTH), "head_bias": torch.ones(3, 7)}, wrong)
    with pytest.raises(FileFormatError, match="members = 3 in the file, expected 4"):
        load_weights(wrong)


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ({"members": 2}, "members = 3 in the file, expected 2"),
        ({"r": 8}, "r = 4 in the file, expected 8"),
        ({"num_classes": 100}, "num_classes = 5 in the file, expected 100"),
    ],
)
def test_other_numbers_than_expected_are_both_named(tmp_path, backbone, trained, expected, said):
    with pytest.raises(FileFormatError, match=said):
        load_weights(saved(trained, tmp_path), backbone, **expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("encoder_layer_1_k_proj_w_b.weight"), "encoder_layer_1_k_proj_w_b.weight is missing"),
        (lambda t: t.pop("head_bias"), "have a weight, and no bias"),
        (lambda t: t.update(head_bias=torch.ones(2, CLASSES)), r"head_bias has shape \(2, 5\).*\(3, 5\)"),
        (lambda t: t.update({"encoder_layer_0_v_proj_w_a.weight": torch.ones(3, 8, WIDTH)}), r"\(3, 8, 768\).*\(3, 4"),
        (lambda t: t.update(extra=torch.ones(1)), "unknown tensor 'extra'"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, backbone, trained, change, said):
    content = dict(trained)
    change(content)
    with pytest.raises(FileFormatError, match=said):
        load_weights(saved(content, tmp_path), backbone)


def test_files_that_are_no_weights_are_refused(tmp_path, backbone, trained):
    torch.save({"model": nn.Linear(2, 2)}, tmp_path / "code.pt")
    whole = saved(trained, tmp_path).read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    parameters = list(network().parameters())
    torch.save(parameters[:-1], tmp_path / "short.pt")
    torch.save({"a": 1}, tmp_path / "number.pt")
    torch.save({"v.dist_token": torch.ones(1, 1, WIDTH)}, tmp_path / "audio.pt")
    for name, said in (
        ("code.pt", "holds no weights"),
        ("cut.pt", "holds no weights"),
        ("short.pt", "no whole networks"),
        ("number.pt", "holds a dict"),
        ("audio.pt", "is of ASTMCDropout, whose heads are neither trained nor saved"),
    ):
        with pytest.raises(FileFormatError, match=said):
            load_weights(tmp_path / name, backbone)
    with pytest.raises(UserError, match=r"no file 'nothing.pt'; expected a path, prs-eth/LoRA-Ensemble/"):
        load_weights("nothing.pt", backbone)


def test_layers_of_file_and_backbone_must_agree(tmp_path, trained):
    deeper = fill(VisionTransformer(64, 32, LAYERS + 1, HEADS, WIDTH, 32)).state_dict()
    with pytest.raises(FileFormatError, match="2 layers, the backbone has 3"):
        load_weights(saved(trained, tmp_path), deeper)


def test_hub_files_that_cannot_be_had_are_named(tmp_path, monkeypatch):
    asked = []

    def offline(repo, name):
        asked.append((repo, name))
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    name = "LoRA_Former_ViT_base_32_16_members_CIFAR100_settings_LoRA1"
    for given in (name, f"prs-eth/LoRA-Ensemble/{name}.pt"):
        with pytest.raises(UserError, match="the hub did not give it: no route to host"):
            load_weights(given)
    assert asked == [("prs-eth/LoRA-Ensemble", f"{name}.pt")] * 2


def test_a_local_file_is_the_backbone_that_the_saved_ensemble_names(tmp_path):
    whole = fill(VisionTransformer(32, 32, 12, HEADS, WIDTH, 4))
    torch.save(whole.state_dict(), tmp_path / "vit_b_32.pth")
    tensors = {"head_weight": torch.randn(2, CLASSES, WIDTH), "head_bias": torch.randn(2, CLASSES)}
    for i in range(12):
        for p in ("q", "k", "v", "out"):
            tensors[f"encoder_layer_{i}_{p}_proj_w_a.weight"] = torch.randn(2, 1, WIDTH)
            tensors[f"encoder_layer_{i}_{p}_proj_w_b.weight"] = torch.randn(2, WIDTH, 1) / WIDTH
    ensemble = load_weights(saved(tensors, tmp_path), tmp_path / "vit_b_32.pth")
    ensemble.save_pretrained(tmp_path / "ensemble")
    again = Ensemble.from_pretrained(tmp_path / "ensemble")
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(again(pixel_values=x).logits, ensemble(pixel_values=x).logits)
