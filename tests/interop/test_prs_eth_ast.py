"""Published settings of ESC-50 as experiments, and weights files of AST_Former and Explicit_AST, against a slow and
obvious forward pass over the tensors of the DeiT and of the file."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import torch
from timm.models.deit import VisionTransformerDistilled
from torch.nn import functional as F

from lora_ensemble import LoraEnsemble
from lora_ensemble.backbones.ast import Ast, from_imagenet
from lora_ensemble.engine.networks import NetworkEnsemble
from lora_ensemble.errors import ConfigurationError, FileFormatError, UserError
from lora_ensemble.interop.prs_eth import differences, experiment_from_settings, load_weights
from lora_ensemble.interop.prs_eth.command_line import request
from lora_ensemble.interop.prs_eth.differences import summary
from lora_ensemble.interop.prs_eth.prediction import _inputs
from lora_ensemble.interop.prs_eth.table import TABLE, published
from tiny_models import lively
from tolerance import close

# Settings ------------------------------------------------------------------------------------------------------------

with TABLE.open(newline="") as file:
    ROWS = [row for row in csv.DictReader(file) if row["data.data_set"] == "ESC50"]
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['study']}/{row['name']}")


def model_of(row):
    if row["LoRA.rank"]:
        return "AST_Former"
    return "ASTMCDropout" if row["MCDropout.p_drop"] else "Explicit_AST"


def steps_of(row):
    """In bounds of both limits, and as the published loop takes them."""
    taken = 0
    batches = math.ceil(1600 / int(row["training.training_batch_size"]))
    for _ in range(int(row["training.max_epochs"])):
        for _ in range(batches):
            taken += 1
            if taken == int(row["training.max_steps"]):
                break  # out of the epoch only
    return min(int(row["training.max_steps"]), batches * int(row["training.max_epochs"])), taken


def test_there_are_25():
    assert len(ROWS) == 25


@each_row
def test_every_row_arrives_in_the_experiment(row):
    e = experiment_from_settings(f"{row['study']}/{row['name']}", model_of(row), 4)
    t, b, m = e.training, e.backbone, e.method
    assert e.to_dict()["dataset"]["kind"] == "esc50"
    assert (e.dataset.fold, e.dataset.protocol, e.dataset.splits) == (1, "published", ("train", "test"))
    assert (e.dataset.frequency_mask, e.dataset.time_mask) == (24, 96)
    audioset = row["model.audioset_pretraining"] == "true"
    assert b.weights == (None if audioset else "timm/deit_base_distilled_patch16_384.fb_in1k")
    assert (b.frames, b.bins, b.frequency_stride, b.time_stride, b.head_norm) == (512, 128, 10, 10, "shared")
    assert (b.normalisation, b.mean, b.std) == ("given", -6.6268077, 5.358466)
    assert (b.train_patch_embedding, b.train_position_embedding) == (False, False)
    assert e.seed == int(row["training.random_seed"])
    assert (t.max_steps, t.epochs) == (steps_of(row)[0], 25)
    assert t.batch_size == int(row["training.training_batch_size"])
    assert (t.optimizer, t.learning_rate) == ("adam", float(row["training.learning_rate"]))
    assert (t.weight_decay, list(t.betas)) == (5e-7, json.loads(row["training.Adam_betas"]))
    assert (t.schedule, t.first_step_epoch, t.step_gamma) == ("step", 5, 0.85)
    assert (t.gradient_clip, t.class_weights, t.data_order) == (10_000, "uniform", "shared")
    assert m.members == 4
    if row["LoRA.rank"]:
        assert (m.r, m.init_a, m.init_gain, m.fused_qkv, b.fused_qkv) == (16, "xavier", 10, "joint", True)
        assert t.members_per_pass == 1
    elif row["MCDropout.p_drop"]:
        assert (m.p, m.dropout, m.heads) == (0.2, "dropkey", "member")
    else:
        assert (m.noise_scale, m.head_init) == (0, "default")
    if row["model.head_init"] and row["LoRA.rank"]:
        assert (m.head_init, m.head_gain) == ("xavier", float(row["model.xavier_gain"]))


@each_row
def test_every_row_resolves_as_published(row):
    """Head starts and noise have no effect on the published AST, and max_steps ends an epoch, not the training."""
    e = experiment_from_settings(f"{row['study']}/{row['name']}", model_of(row), 4, as_published=True)
    assert e.training.max_steps == steps_of(row)[1]
    assert (e.training.clip, e.training.gradient_clip, e.training.weight_decay) == ("joint", 40_000, 2e-6)
    assert getattr(e.method, "head_init", None) in (None, "default")
    assert getattr(e.method, "noise_scale", 0) == 0


def test_fold_size_and_what_is_trained_come_from_the_file(tmp_path):
    content: dict = {}
    for key, value in published()["ESC50/final/ESC50_settings_LoRA1"].items():
        section, name = key.split(".")
        content.setdefault(f"{section}_settings", {})[name] = value
    content["training_settings"] |= {"cross_validation": True, "cross_validation_fold": 3}
    content["LoRA_settings"] |= {"train_conv": True, "train_pos": True, "ensemble_layer_norm": True}
    content["model_settings"] |= {"DeiT_version": "tiny224", "imagenet_pretraining": True}
    content["data_settings"] |= {"audio_length": 256, "fstride": 12, "tstride": 14, "num_classes": 50}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    e = experiment_from_settings(path, "AST_Former", 1)
    b = e.backbone
    assert (e.dataset.fold, b.frames, b.frequency_stride, b.time_stride) == (3, 256, 12, 14)
    assert (b.head_norm, b.train_patch_embedding, b.train_position_embedding) == ("member", True, True)
    assert b.weights == "timm/deit_tiny_distilled_patch16_224.fb_in1k"
    assert e.to_dict()["method"]["kind"] == "single-lora"
    content["data_settings"]["num_classes"] = 10
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match=r"data.num_classes = 10, ESC50 has 50"):
        experiment_from_settings(path, "AST_Former", 1)


def test_keys_of_an_ast_are_refused_for_images(tmp_path):
    content: dict = {"LoRA_settings": {"train_conv": True}}
    for key, value in published()["CIFAR100/final/CIFAR100_settings_LoRA1"].items():
        section, name = key.split(".")
        content.setdefault(f"{section}_settings", {})[name] = value
    (tmp_path / "mine.json").write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match=r"LoRA.train_conv is for AST_Former"):
        experiment_from_settings(tmp_path / "mine.json", "LoRA_Former", 1)


def said(name, model, **options):
    return "\n".join(differences(name, model, 4, **options))


@pytest.mark.parametrize(
    ("name", "model", "words"),
    [
        ("ESC50_settings_LoRA1", "AST_Former", "to the end of max_epochs, after 39400 steps; here 25000 steps"),
        ("ESC50_settings_LoRA1", "AST_Former", "best mean accuracy on the test folds; here after the last step"),
        ("ESC50_settings_MCDropout2", "ASTMCDropout", "never trained"),
        ("ESC50_settingsPaper_experiment1", "Explicit_AST", "model.perturb_scale = 1 is stale"),
        ("ESC50_settingsPaper_experiment1", "Explicit_AST", "head_init = 'xavier_uniform' is stale"),
        ("ESC50_settingsLoRA_experiment1", "AST_Former", "head_init = 'xavier_uniform' has no effect"),
    ],
)
def test_every_trap_is_said_where_it_matters(name, model, words):
    assert words in said(name, model)


def test_traps_are_not_said_where_they_do_not_matter():
    text = said("ESC50_settings_explicit1", "Explicit_AST") + said("ESC50_settings_LoRA1", "AST_Former")
    for words in ("255", "noise", "head_init", "never trained", "shuffle", "lesion", "AdamW"):
        assert words not in text
    assert "is stale" in said("ESC50_settingsPaper_experiment1", "Explicit_AST", as_published=True)
    line = summary(request("ESC50_settings_LoRA3", "AST_Former", 16))
    for words in ("lora of an AST from deit_base_distilled", "r 16", "fused_qkv joint", "fold 1", "seed 1206"):
        assert words in line


def test_models_and_data_sets_must_fit():
    with pytest.raises(UserError, match="CIFAR10, so for LoRA_Former"):
        experiment_from_settings("CIFAR10_settings_LoRA1", "AST_Former", 2)


# Weights -------------------------------------------------------------------------------------------------------------

LAYERS, WIDTH, HEADS, MEMBERS, RANK, CLASSES = 2, 64, 1, 3, 4, 5
PATCHES = 12 * 50


def deit(seed=0):
    """The distilled DeiT of timm; its patches are 16 x 16 of 64 x 64 pixels."""
    torch.manual_seed(seed)
    network = VisionTransformerDistilled(
        img_size=64, patch_size=16, embed_dim=WIDTH, depth=LAYERS, num_heads=HEADS, mlp_ratio=1, num_classes=7
    )
    return lively(network).eval().state_dict()


@pytest.fixture(scope="module")
def backbone():
    return deit()


@pytest.fixture(scope="module")
def spectrograms():
    return torch.randn(2, 512, 128, generator=torch.Generator().manual_seed(9))


def drawn(own_norm=False, embeddings=False):
    """What AST_Former saves."""
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(shape, generator=generator) / math.sqrt(shape[-1])

    tensors = {}
    for i in range(LAYERS):
        for p, out in (("qkv", 3 * WIDTH), ("proj", WIDTH)):
            tensors[f"blocks_{i}_{p}_w_a.weight"] = draw(MEMBERS, RANK, WIDTH)
            tensors[f"blocks_{i}_{p}_w_b.weight"] = draw(MEMBERS, out, RANK)
    norm = (MEMBERS, WIDTH) if own_norm else (WIDTH,)
    tensors |= {"mlp_head_ln.weight": 1 + draw(*norm), "mlp_head_ln.bias": draw(*norm)}
    tensors |= {"mlp_head_linear.weight": draw(MEMBERS, CLASSES, WIDTH), "mlp_head_linear.bias": draw(MEMBERS, CLASSES)}
    if embeddings:
        tensors["patch_embed_proj.weight"] = tensors["patch_embed.proj.weight"] = draw(WIDTH, 1, 16, 16)
        tensors["patch_embed_proj.bias"] = tensors["patch_embed.proj.bias"] = draw(WIDTH)
        tensors["pos_embed"] = draw(1, PATCHES + 2, WIDTH)
    return tensors


def saved(content, folder, name="weights.pt"):
    torch.save(content, folder / name)
    return folder / name


def body(state, spectrogram, low_rank):
    """Features before the head. state: names of timm; low_rank(layer, projection, x): what is added to the layer."""
    image = spectrogram.T[None, None]
    patches = F.conv2d(image, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=10)
    tokens = torch.cat([state["cls_token"][0], state["dist_token"][0], patches[0].flatten(1).T])
    h = tokens + state["pos_embed"][0]
    for i in range(LAYERS):
        layer = {k.removeprefix(f"blocks.{i}."): v for k, v in state.items() if k.startswith(f"blocks.{i}.")}
        x = F.layer_norm(h, (WIDTH,), layer["norm1.weight"], layer["norm1.bias"], 1e-6)
        qkv = x @ layer["attn.qkv.weight"].T + layer["attn.qkv.bias"] + low_rank(i, "qkv", x)
        q, k, v = qkv[:, :WIDTH], qkv[:, WIDTH : 2 * WIDTH], qkv[:, 2 * WIDTH :]
        attended = torch.softmax(q @ k.T / math.sqrt(WIDTH), 1) @ v  # one head
        h = h + attended @ layer["attn.proj.weight"].T + layer["attn.proj.bias"] + low_rank(i, "proj", attended)
        x = F.layer_norm(h, (WIDTH,), layer["norm2.weight"], layer["norm2.bias"], 1e-6)
        x = F.gelu(x @ layer["mlp.fc1.weight"].T + layer["mlp.fc1.bias"])
        h = h + x @ layer["mlp.fc2.weight"].T + layer["mlp.fc2.bias"]
    x = F.layer_norm(h, (WIDTH,), state["norm.weight"], state["norm.bias"], 1e-6)
    return (x[0] + x[1]) / 2


def published_logits(state, trained, spectrogram, m):
    """Member m on one spectrogram: qkv = W0 x + b + B_m A_m x, one pair for all three; the same for the output."""

    def low_rank(i, p, x):
        A, B = (trained[f"blocks_{i}_{p}_w_{part}.weight"][m] for part in "ab")
        return (x @ A.T) @ B.T

    weight, bias = (trained[f"mlp_head_ln.{kind}"] for kind in ("weight", "bias"))
    own = (weight[m], bias[m]) if weight.ndim == 2 else (weight, bias)
    x = F.layer_norm(body(state, spectrogram, low_rank), (WIDTH,), *own, 1e-5)
    return trained["mlp_head_linear.weight"][m] @ x + trained["mlp_head_linear.bias"][m]


def as_ast(state, trained):
    """The published conversion: 4 x 4 patches of an image to 12 x 50 of a spectrogram, which test_ast_imagenet.py
    checks by itself; or the embeddings in the file."""
    made = from_imagenet(state, CLASSES).audio_spectrogram_transformer.embeddings
    return state | {
        "patch_embed.proj.weight": trained.get("patch_embed_proj.weight", made.patch_embeddings.projection.weight),
        "patch_embed.proj.bias": trained.get("patch_embed_proj.bias", state["patch_embed.proj.bias"]),
        "pos_embed": trained.get("pos_embed", made.position_embeddings),
    }


@torch.no_grad()
@pytest.mark.parametrize(("own_norm", "embeddings"), [(False, False), (True, False), (False, True)])
def test_ast_former_gives_the_published_logits(tmp_path, backbone, spectrograms, own_norm, embeddings):
    trained = drawn(own_norm, embeddings)
    ensemble = load_weights(saved(trained, tmp_path), backbone)
    assert isinstance(ensemble, LoraEnsemble)
    assert (ensemble.members, ensemble.training) == (MEMBERS, False)
    state = as_ast(backbone, trained)
    expected = torch.stack(
        [torch.stack([published_logits(state, trained, x, m) for x in spectrograms]) for m in range(MEMBERS)]
    )
    assert (expected[0] - expected[1]).abs().max() > 0.1
    close(ensemble(input_values=spectrograms).logits, expected, depth=1024)


@torch.no_grad()
@pytest.mark.parametrize("embeddings", [False, True])
def test_the_ensemble_comes_back_from_its_folders(tmp_path, backbone, spectrograms, embeddings):
    torch.save(backbone, tmp_path / "deit.pth")
    ensemble = load_weights(saved(drawn(embeddings=embeddings), tmp_path), tmp_path / "deit.pth")
    ensemble.save_pretrained(tmp_path / "ensemble")
    again = LoraEnsemble.from_pretrained(tmp_path / "ensemble")
    torch.testing.assert_close(again(input_values=spectrograms).logits, ensemble(input_values=spectrograms).logits)


def parameters(seed):
    """The parameters of one published AST, in order: timm 0.4.5 has the distillation token after the positions."""
    state, generator = deit(seed), torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator) / math.sqrt(shape[-1])

    state |= {
        "patch_embed.proj.weight": draw(WIDTH, 1, 16, 16),
        "pos_embed": draw(1, PATCHES + 2, WIDTH),
        "mlp_head.0.weight": 1 + draw(WIDTH),
        "mlp_head.0.bias": draw(WIDTH),
        "mlp_head.1.weight": draw(CLASSES, WIDTH),
        "mlp_head.1.bias": draw(CLASSES),
    }
    blocks = [
        f"blocks.{i}.{n}"
        for i in range(LAYERS)
        for n in ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"]
    ]
    modules = ["patch_embed.proj", *blocks, "norm", "head", "head_dist", "mlp_head.0", "mlp_head.1"]
    names = ["cls_token", "pos_embed", "dist_token", *(f"{m}.{k}" for m in modules for k in ("weight", "bias"))]
    assert sorted(names) == sorted(state)
    return {name: torch.nn.Parameter(state[name]) for name in names}


@torch.no_grad()
def test_explicit_ast_is_read_network_after_network(tmp_path, spectrograms):
    networks = [parameters(seed) for seed in range(2)]
    path = saved([p for network in networks for p in network.values()], tmp_path)
    ensemble = load_weights(path, num_classes=CLASSES)
    assert isinstance(ensemble, NetworkEnsemble)
    expected = []
    for state in networks:
        pooled = torch.stack([body(state, x, lambda *_: 0) for x in spectrograms])
        x = F.layer_norm(pooled, (WIDTH,), state["mlp_head.0.weight"], state["mlp_head.0.bias"], 1e-5)
        expected.append(x @ state["mlp_head.1.weight"].T + state["mlp_head.1.bias"])
    close(ensemble(input_values=spectrograms).logits, torch.stack(expected), depth=1024)
    with pytest.raises(FileFormatError, match="no whole AST networks"):
        load_weights(saved([p for network in networks for p in network.values()][:-1], tmp_path, "cut.pt"))


def test_names_of_files_say_what_to_expect(tmp_path, backbone):
    name = "AST_Former_ViT_DeiT_base384_16_4_members_ESC50_settings_LoRA1.pt"
    with pytest.raises(FileFormatError, match="members = 3 in the file, expected 4"):
        load_weights(saved(drawn(), tmp_path, name), backbone)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("blocks_1_qkv_w_b.weight"), "blocks_1_qkv_w_b.weight is missing"),
        (lambda t: t.pop("mlp_head_ln.bias"), "mlp_head_ln.bias is missing"),
        (lambda t: t.update({"mlp_head_ln.bias": torch.ones(3)}), r"mlp_head_ln.bias has shape \(3,\).*\(64,\)"),
        (lambda t: t.update({"blocks_0_proj_w_b.weight": torch.ones(3, 192, 4)}), r"\(3, 192, 4\).*\(3, 64, 4\)"),
        (lambda t: t.update(extra=torch.ones(1)), "unknown tensor 'extra'"),
        (lambda t: t.update({"pos_embed": torch.ones(1, 7, WIDTH)}), r"embeddings have shape \(1, 7, 64\)"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, backbone, change, words):
    content = drawn()
    change(content)
    with pytest.raises(FileFormatError, match=words):
        load_weights(saved(content, tmp_path), backbone)


def test_layers_of_file_and_backbone_must_agree(tmp_path, backbone):
    short = {k: t for k, t in backbone.items() if not k.startswith("blocks.1.")}
    with pytest.raises(FileFormatError, match="2 layers, the backbone has 1"):
        load_weights(saved(drawn(), tmp_path), short)


def test_sounds_are_prepared_as_in_training(tmp_path, backbone, monkeypatch):
    monkeypatch.setenv("LORA_ENSEMBLE_CACHE", "off")
    inputs = _inputs(load_weights(saved(drawn(), tmp_path), backbone))
    clip = [{"audio": np.random.default_rng(0).normal(size=16000).astype(np.float32)}]
    own = Ast().inputs()
    values = inputs.prepare(inputs.collate(clip))["input_values"]
    assert torch.equal(values, own.prepare(own.collate(clip))["input_values"])
    assert values.shape == (1, 512, 128)
