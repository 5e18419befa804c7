"""Audio Spectrogram Transformers on tiny checkpoints saved here, in every method, and (marked data) real weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import ASTConfig, ASTForAudioClassification

from lora_ensemble import Ensemble
from lora_ensemble.audio.filterbanks import FilterBanks
from lora_ensemble.backbones.ast import Ast, from_imagenet
from lora_ensemble.contracts import Split
from lora_ensemble.engine.layers.passes import Pass
from lora_ensemble.errors import FileFormatError, UserError
from lora_ensemble.registry import config_class, names
from lora_ensemble.saved import load_backbone
from tiny_models import lively
from tolerance import close

FRAMES, BINS, PATCH = 40, 32, 16
SHAPE = {"frames": FRAMES, "bins": BINS}
CLASSES = 5


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("LORA_ENSEMBLE_CACHE", "off")


@pytest.fixture(scope="module")
def clips():
    generator = np.random.default_rng(0)
    return [{"audio": generator.normal(size=n).astype(np.float32) / 8} for n in (6000, 8000, 7000)]


@pytest.fixture(scope="module")
def audioset(tmp_path_factory):
    """A folder with a tiny AST for 60 frames and 9 labels."""
    folder = tmp_path_factory.mktemp("ast")
    config = ASTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        patch_size=PATCH,
        max_length=60,
        num_mel_bins=BINS,
        num_labels=9,
    )
    torch.manual_seed(0)
    lively(ASTForAudioClassification(config)).save_pretrained(folder)
    return str(folder)


def inputs_of(backbone, clips):
    return backbone.prepare(backbone.collate(clips))


def test_inputs_are_normalised_filter_banks(audioset, clips):
    values = inputs_of(Ast(audioset, **SHAPE, mean=-5.0, std=3.0).load(CLASSES), clips)["input_values"]
    for clip, got in zip(clips, values, strict=True):
        torch.testing.assert_close(got, (FilterBanks(FRAMES, BINS)(clip["audio"]) + 5) / 6)


def test_a_checkpoint_gets_a_new_head_and_the_middle_of_its_positions(audioset, clips):
    own = ASTForAudioClassification.from_pretrained(audioset)
    backbone = Ast(audioset, **SHAPE).load(CLASSES)
    model = backbone.model
    assert (backbone.head, backbone.own_head, backbone.also_trained) == ("classifier", False, ())
    assert model.classifier.dense.out_features == CLASSES
    assert torch.equal(model.classifier.layernorm.weight, torch.ones(16))  # AudioSet's is of another head
    for name, tensor in own.state_dict().items():
        if not name.startswith("classifier") and "position" not in name:
            assert torch.equal(model.state_dict()[name], tensor), name
    # 2 x 5 patches become 2 x 3: 0 1 2 3 4 from 5 // 2 - 3 // 2 = 1 on.
    old, new = (m.audio_spectrogram_transformer.embeddings.position_embeddings[0] for m in (own, model))
    assert torch.equal(new, old[[0, 1, 2 + 1, 2 + 2, 2 + 3, 2 + 6, 2 + 7, 2 + 8]])
    assert model(**inputs_of(backbone, clips)).logits.shape == (3, CLASSES)


def test_a_checkpoint_with_as_many_labels_keeps_its_head(audioset):
    own, backbone = ASTForAudioClassification.from_pretrained(audioset), Ast(audioset, frames=60, bins=BINS).load(9)
    assert backbone.own_head
    for name, tensor in own.state_dict().items():
        assert torch.equal(backbone.model.state_dict()[name], tensor)


def test_longer_sounds_and_other_strides_have_more_positions(audioset):
    model = Ast(audioset, frames=90, bins=BINS, time_stride=5, frequency_stride=8).load(2).model
    with torch.no_grad():
        assert model(torch.randn(1, 90, BINS)).logits.shape == (1, 2)
    assert model.audio_spectrogram_transformer.embeddings.position_embeddings.shape[1] == 2 + 3 * 15
    with pytest.raises(FileFormatError, match="8 bins x 90 frames are less than a patch, 16 x 16"):
        Ast(audioset, frames=90, bins=8).load(2)


def test_fused_attention_is_the_same_function(audioset, clips):
    torch.manual_seed(0)
    plain = Ast(audioset, **SHAPE).load(CLASSES)
    torch.manual_seed(0)
    fused = Ast(audioset, **SHAPE, fused_qkv=True).load(CLASSES)
    inputs = inputs_of(plain, clips)
    assert "audio_spectrogram_transformer.layers.0.attention.qkv.weight" in fused.model.state_dict()
    assert sum(p.numel() for p in fused.model.parameters()) == sum(p.numel() for p in plain.model.parameters())
    with torch.no_grad():
        close(fused.model(**inputs).logits, plain.model(**inputs).logits)


@torch.no_grad()
def test_one_pair_on_the_fused_projection_is_the_published_formula(audioset):
    """qkv = W0 x + b + B_m A_m x, one pair of rank r from D to 3 D; scale 1."""
    backbone = Ast(audioset, **SHAPE, fused_qkv=True).load(CLASSES)
    plain = Ast(audioset, **SHAPE).load(CLASSES).model.audio_spectrogram_transformer.layers[1].attention
    ensemble = config_class("methods", "lora")(members=3, r=4, fused_qkv="joint").build(backbone, 0)
    layers = dict(ensemble.member_layers())
    name = "audio_spectrogram_transformer.layers.1.attention.qkv"
    assert layers[name].lora_A.shape == (3, 4, 16)
    assert layers[name].lora_B.shape == (3, 48, 4)
    assert sorted(path.rpartition(".")[2] for path in layers) == ["dense", "layernorm", *["o_proj"] * 2, *["qkv"] * 2]
    A, B = torch.randn(3, 4, 16), torch.randn(3, 48, 4)
    layers[name].lora_A.copy_(A)
    layers[name].lora_B.copy_(B)
    x = torch.randn(3, 7, 16)  # 7 tokens of one clip, for each member
    with ensemble.state.running(Pass(range(3), 3, False)):
        got = ensemble.model.get_submodule(name)(x)
    for m in range(3):
        for t in range(7):
            frozen = [getattr(plain, f"{p}_proj")(x[m, t]) for p in "qkv"]
            close(got[m, t], torch.cat(frozen) + B[m] @ (A[m] @ x[m, t]))


def train_a_little(ensemble, inputs):
    torch.manual_seed(3)
    labels = torch.randint(CLASSES, (3,))
    ensemble.train()
    optimizer = torch.optim.SGD([p for p in ensemble.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        ensemble(labels=labels, **inputs).loss.backward()
        ensemble.clip_grad_norm_(1.0)
        optimizer.step()
    for cycle in range(ensemble.members):
        ensemble.on_cycle_end(cycle)
    return ensemble.eval()


EVERYTHING = {
    "head_norm": "shared",
    "fused_qkv": True,
    "train_patch_embedding": True,
    "train_position_embedding": True,
}


@pytest.mark.parametrize("method", [name for name in names("methods") if name != "zero-shot"])
def test_every_method_saves_all_that_it_trains(method, audioset, clips, tmp_path):
    """The folder alone gives the ensemble back: what is trained besides members is in it."""
    backbone = Ast(audioset, **SHAPE, **EVERYTHING).load(CLASSES)
    config = config_class("methods", method)
    chosen = config(members=2)
    ensemble = (config() if chosen.problems() else chosen).build(backbone, 0)
    inputs = inputs_of(backbone, clips)
    before = {name: p.detach().clone() for name, p in ensemble.named_parameters()}
    train_a_little(ensemble, inputs)
    moved = {name for name, p in ensemble.named_parameters() if not torch.equal(p, before[name])}
    for part in ("classifier.layernorm", "classifier.dense", "patch_embeddings", "position_embeddings"):
        assert any(part in name for name in moved), part
    ensemble.save_pretrained(tmp_path)
    again = Ensemble.from_pretrained(tmp_path)
    for _ in range(2):
        torch.manual_seed(5)
        expected = ensemble.predict(**inputs).logits_MBC
        torch.manual_seed(5)
        assert torch.equal(again.predict(**inputs).logits_MBC, expected)


def test_what_is_frozen_by_default(audioset):
    backbone = Ast(audioset, **SHAPE).load(CLASSES)
    ensemble = config_class("methods", "lora")(members=2).build(backbone, 0)
    assert all("lora_" in name or "classifier." in name for name, p in ensemble.named_parameters() if p.requires_grad)


def test_its_source_loads_it_again(audioset):
    backbone = Ast(audioset, **SHAPE, fused_qkv=True).load(CLASSES)
    again = load_backbone(json.loads(json.dumps(backbone.source)))
    own = backbone.model.state_dict()
    assert again.state_dict().keys() == own.keys()
    assert all(torch.equal(t, own[name]) for name, t in again.state_dict().items() if "dense" not in name)


# The mean and standard deviation -------------------------------------------------------------------------------------


def test_normalisation_of_the_training_split(audioset, clips):
    split = Split(clips, None, ["a", "b", "c"], ["x"], "audio")
    asked = Ast(audioset, **SHAPE, normalisation="training")
    with pytest.raises(UserError, match=r"normalisation = 'training': load what fitted"):
        asked.load(CLASSES)
    fitted = asked.fitted(split)
    assert Ast(audioset, **SHAPE).fitted(split) == Ast(audioset, **SHAPE)
    values = torch.cat([FilterBanks(FRAMES, BINS)(clip["audio"]).flatten() for clip in clips])
    assert fitted.mean == pytest.approx(values.mean().item(), abs=1e-4)
    assert fitted.std == pytest.approx(values.std().item(), rel=1e-3)
    inputs = inputs_of(fitted.load(CLASSES), clips)["input_values"]
    assert inputs.mean().item() == pytest.approx(0, abs=1e-5)
    assert inputs.std().item() == pytest.approx(0.5, rel=1e-3)


# Mistakes ------------------------------------------------------------------------------------------------------------


def test_mistakes_are_the_users(audioset, tmp_path):
    problems = Ast(audioset, weights="w", frames=0, std=0.0).problems()
    assert [p.split(" = ")[0] for p in problems] == ["backbone.frames", "backbone.std", "backbone.name"]
    with pytest.raises(UserError, match=r"no Audio Spectrogram Transformer .*nothing.*: expected a local folder"):
        Ast(str(tmp_path / "nothing")).load(2)
    for weights, said in (
        (str(tmp_path / "none.pth"), "neither a file, nor a folder, nor a hub id"),
        (str(tmp_path), "the folder has no model.safetensors and no pytorch_model.bin"),
    ):
        with pytest.raises(UserError, match=said):
            Ast(weights=weights).load(2)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(FileFormatError, match="not a complete safetensors file"):
        Ast(weights=str(tmp_path)).load(2)


def test_a_network_of_another_kind_is_refused(tmp_path):
    from transformers import ViTConfig, ViTForImageClassification

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    ViTForImageClassification(ViTConfig(**small, image_size=32)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"are no whole AST: audio_spectrogram_transformer"):
        Ast(str(tmp_path)).load(2)


# Real weights --------------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_an_ast_tiny_from_imagenet_weights(data_dir, clips):
    from safetensors.torch import load_file

    folder = data_dir / "weights" / "vit_tiny_patch16_224"
    backbone = Ast(weights=str(folder)).load(10)
    made = from_imagenet(load_file(folder / "model.safetensors"), 10)
    own, state = backbone.model.state_dict(), load_file(folder / "model.safetensors")
    assert all(torch.equal(t, own[name]) for name, t in made.state_dict().items() if not name.startswith("classifier"))
    embeddings = made.audio_spectrogram_transformer.embeddings
    assert embeddings.position_embeddings.shape == (1, 2 + 12 * 50, 192)
    assert made.config.num_attention_heads == 3
    # In the middle of the frequency axis (12 of 14 rows), along time the columns are stretched from 14 to 50.
    corner = state["pos_embed"][0, 1 + 14]
    torch.testing.assert_close(embeddings.position_embeddings[0, 2], corner)
    with torch.no_grad():
        logits = backbone.model(**inputs_of(backbone, clips)).logits
    assert logits.shape == (3, 10)
    assert "name" not in backbone.source
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_sounds_that_are_cut_off_are_warned_of(clips):
    inputs = Ast(**SHAPE).inputs()
    inputs.collate(clips)
    long = {"audio": np.zeros(16000, np.float32)}
    with pytest.warns(UserWarning, match=r"longer than 0\.41 s, the rest is cut off; backbone\.frames = 40"):
        assert inputs.collate([long])["features"].shape == (1, FRAMES, BINS)
