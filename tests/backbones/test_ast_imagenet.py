"""Weights of ViT and DeiT in an AST, against a slow and obvious conversion that runs their own blocks."""

from __future__ import annotations

import math

import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer

from lora_ensemble.backbones.ast import Ast, from_imagenet
from lora_ensemble.errors import FileFormatError
from tiny_models import lively
from tolerance import close

WIDTH, HEADS, PATCH, SIDE, CLASSES = 24, 2, 4, 6, 5
STRIDE = 3

SMALLER, LARGER, MIXED, ODD = (13, 16), (40, 31), (31, 13), (19, 10)
"""(frames, bins). With patches of 4 x 4 and strides of 3, that is (4, 5), (13, 10), (10, 4) and (6, 3) patches."""


def timm_model(kind, side=SIDE):
    torch.manual_seed(0)
    sizes = {"img_size": side * PATCH, "patch_size": PATCH, "embed_dim": WIDTH, "depth": 2, "num_heads": HEADS}
    return lively(kind(**sizes, num_classes=7)).eval()


def transformers_model(kind, config):
    torch.manual_seed(0)
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": HEADS, "intermediate_size": 40}
    return lively(kind(config(**sizes, image_size=SIDE * PATCH, patch_size=PATCH, layer_norm_eps=1e-6))).eval()


def source_index(i, there, wanted):
    """Where position i of `wanted` lies among `there` positions: the middle of them, or all of them stretched."""
    if wanted <= there:
        return there // 2 - wanted // 2 + i
    return min(max((i + 0.5) * there / wanted - 0.5, 0), there - 1)


def position(grid, y, x):
    """Bilinear interpolation at (y, x), the position embedding being grid[row][column]."""
    total = torch.zeros(WIDTH)
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            share = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
            if share > 0:
                total += share * grid[row][column]
    return total


def obvious_logits(parts, made, spectrogram):
    """One spectrogram (frames, bins), by the blocks of the vision transformer itself. parts: its convolution, tokens,
    positions of the tokens, positions (side, side, D) of the patches, blocks, last norm."""
    weight, bias, tokens, of_tokens, grid, blocks, norm = parts
    frames, bins = spectrogram.shape
    rows, columns = (1 + (size - PATCH) // STRIDE for size in (bins, frames))
    states = [token + own for token, own in zip(tokens, of_tokens, strict=True)]
    for r in range(rows):
        for c in range(columns):
            state = bias.clone()
            for dy in range(PATCH):
                for dx in range(PATCH):
                    for colour in range(3):
                        state += weight[:, colour, dy, dx] * spectrogram[STRIDE * c + dx, STRIDE * r + dy]
            y, x = source_index(r, len(grid), rows), source_index(c, len(grid), columns)
            states.append(state + position(grid, y, x))
    h = torch.stack(states)[None]
    for block in blocks:
        h = block(h)
    h = norm(h)[0]
    return made.classifier.dense(made.classifier.layernorm((h[0] + h[1]) / 2))


def timm_parts(model):
    tokens = [model.cls_token[0, 0]]
    if hasattr(model, "dist_token"):
        tokens.append(model.dist_token[0, 0])
    of_tokens, grid = model.pos_embed[0].split([len(tokens), len(model.pos_embed[0]) - len(tokens)])
    both = (lambda x: [x[0], x[0]]) if len(tokens) == 1 else list
    side = math.isqrt(len(grid))
    conv = model.patch_embed.proj
    return conv.weight, conv.bias, both(tokens), both(of_tokens), grid.view(side, side, -1), model.blocks, model.norm


def transformers_parts(model):
    base = model.base_model
    e = base.embeddings
    distilled = [e.distillation_token[0, 0]] if hasattr(e, "distillation_token") else []
    tokens = [e.cls_token[0, 0], *(distilled or [e.cls_token[0, 0]])]
    extra = 1 + len(distilled)
    of_tokens = [e.position_embeddings[0, 0], e.position_embeddings[0, extra - 1]]
    grid = e.position_embeddings[0, extra:].view(SIDE, SIDE, -1)
    conv = e.patch_embeddings.projection
    return conv.weight, conv.bias, tokens, of_tokens, grid, base.layers, base.layernorm


def ast(state, frames, bins, **options):
    strides = {"frequency_stride": STRIDE, "time_stride": STRIDE}
    made = from_imagenet(state, CLASSES, frames, bins=bins, num_heads=HEADS, **(strides | options))
    torch.manual_seed(1)
    lively(made.classifier)
    return made


@torch.no_grad()
@pytest.mark.parametrize(("frames", "bins"), [SMALLER, LARGER, MIXED, ODD])
@pytest.mark.parametrize("kind", [VisionTransformer, VisionTransformerDistilled])
def test_timm_weights_give_the_obvious_logits(kind, frames, bins):
    model = timm_model(kind)
    made = ast(model.state_dict(), frames, bins)
    assert not made.training
    x = torch.randn(2, frames, bins)
    expected = torch.stack([obvious_logits(timm_parts(model), made, one) for one in x])
    close(made(x).logits, expected, depth=256)


@torch.no_grad()
@pytest.mark.parametrize("side", [5, 7])
def test_the_middle_of_an_odd_grid(side):
    model = timm_model(VisionTransformer, side)
    made = ast(model.state_dict(), *SMALLER)
    x = torch.randn(*SMALLER)
    close(made(x[None]).logits[0], obvious_logits(timm_parts(model), made, x), depth=256)


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (tf.ViTForImageClassification, tf.ViTConfig),
        (tf.ViTModel, tf.ViTConfig),
        (tf.DeiTForImageClassificationWithTeacher, tf.DeiTConfig),
    ],
)
def test_transformers_weights_in_memory_and_on_disk(kind, config, tmp_path):
    """Their names differ: on disk, layers still have the names of transformers 4."""
    model = transformers_model(kind, config)
    model.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert any("attention.attention.query" in name for name in stored)
    x = torch.randn(*MIXED)
    for state in (model.state_dict(), stored, {f"module.{name}": t for name, t in stored.items()}):
        made = ast(state, *MIXED)
        expected = obvious_logits(transformers_parts(model), made, x)
        close(made(x[None]).logits[0], expected, depth=256)


def test_the_plain_call_has_the_published_patches():
    torch.manual_seed(0)
    model = VisionTransformer(img_size=224, patch_size=16, embed_dim=192, depth=1, num_heads=3, num_classes=2)
    made = from_imagenet(model.state_dict(), 50)
    c = made.config
    assert (c.max_length, c.num_mel_bins, c.frequency_stride, c.time_stride) == (512, 128, 10, 10)
    assert (c.num_labels, c.num_attention_heads, c.layer_norm_eps) == (50, 3, 1e-6)
    assert made.audio_spectrogram_transformer.embeddings.position_embeddings.shape == (1, 2 + 12 * 50, 192)
    assert from_imagenet(model.state_dict(), 50, frames=1024).config.max_length == 1024


def test_weights_files_of_every_form(tmp_path):
    state = timm_model(VisionTransformerDistilled).state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save({"model": state}, tmp_path / "b.pth")
    (tmp_path / "folder").mkdir()
    torch.save(state, tmp_path / "folder" / "pytorch_model.bin")
    shape = {"frames": 31, "bins": 13, "frequency_stride": STRIDE, "time_stride": STRIDE}
    loaded = [Ast(weights=str(tmp_path / n), **shape).load(2).model for n in ("a.safetensors", "b.pth", "folder")]
    name = "audio_spectrogram_transformer.embeddings.position_embeddings"
    assert all(torch.equal(model.state_dict()[name], loaded[0].state_dict()[name]) for model in loaded)


def without(state, name):
    return {k: t for k, t in state.items() if k != name}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: without(s, "cls_token"), "'cls_token' and 'embeddings.cls_token' are both missing"),
        (lambda s: without(s, "blocks.1.attn.proj.bias"), "layers.1.attention.o_proj.bias is missing"),
        (lambda s: without(s, "blocks.0.mlp.fc1.weight"), "the first layer has no mlp.fc1"),
        (lambda s: s | {"blocks.0.ls1.gamma": torch.ones(WIDTH)}, "an AST has no place for 'blocks.0.ls1.gamma'"),
        (
            lambda s: s | {"pos_embed": s["pos_embed"][:, :-1]},
            "35 position embeddings of patches",
        ),
        (lambda s: s | {"blocks.0.norm1.bias": torch.ones(3)}, "layernorm_before.bias is missing or of a wrong shape"),
        (lambda s: {"conv1.weight": torch.ones(3)}, "an AST has no place for 'conv1.weight'"),
        (lambda s: {}, "are both missing"),
    ],
)
def test_other_weights_are_refused_naming_the_tensor(change, said):
    state = timm_model(VisionTransformer).state_dict()
    with pytest.raises(FileFormatError, match=said):
        ast(change(dict(state)), *MIXED)


def test_spectrograms_smaller_than_a_patch_and_widths_of_no_known_heads_are_refused():
    state = timm_model(VisionTransformer).state_dict()
    with pytest.raises(FileFormatError, match="13 bins x 3 frames are less than a patch, 4 x 4"):
        from_imagenet(state, 2, 3, bins=13, num_heads=2)
    wide = {name: torch.zeros(1408, 3, 4, 4) if name == "patch_embed.proj.weight" else t for name, t in state.items()}
    with pytest.raises(FileFormatError, match="width 1408: the number of attention heads is not known"):
        from_imagenet(wide, 2, 31, bins=13)


def test_an_empty_weights_file_is_refused(tmp_path):
    (tmp_path / "empty.pth").touch()
    with pytest.raises(FileFormatError, match="holds no weights"):
        Ast(weights=str(tmp_path / "empty.pth")).load(2)


def test_heads_must_divide_the_width():
    with pytest.raises(FileFormatError, match="width 24 does not divide by 5 heads"):
        from_imagenet(timm_model(VisionTransformer).state_dict(), 2, 31, bins=13, num_heads=5)
