"""Tiny random networks of many architectures of transformers, timm, torchvision and torch, with inputs. Not a test.

Each is built with random weights from the libraries' own classes, so that nothing is loaded from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
import torchvision
import transformers as tf
from torch import Tensor, nn

from tiny_models import CLASSES, TOKENS, VOCABULARY, lively

Inputs = dict[str, Tensor]

SIZE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_labels": CLASSES,
}
TEXT = SIZE | {"vocab_size": VOCABULARY, "max_position_embeddings": 32, "pad_token_id": 0}
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
DECODER = TEXT | {"num_key_value_heads": 1, "head_dim": 8, "bos_token_id": 1, "eos_token_id": 2}
IMAGE = SIZE | {"image_size": 16, "patch_size": 4}
SOUND = SIZE | {
    "vocab_size": VOCABULARY,
    "conv_dim": (8, 8),
    "conv_stride": (5, 2),
    "conv_kernel": (10, 3),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "apply_spec_augment": False,
    **dict.fromkeys(("attention_dropout", "hidden_dropout", "activation_dropout", "final_dropout"), 0.0),
    **dict.fromkeys(("feat_proj_dropout", "layerdrop", "projector_dropout"), 0.0),
}


def _of(name: str, task: str, **config: Any) -> Callable[[], nn.Module]:
    """A model class of transformers, `<name>For<task>` of `<name>Config`."""

    def build() -> nn.Module:
        made = getattr(tf, f"{name}Config")(**config)
        return getattr(tf, f"{name}{task}")(made)

    return build


def _timm(name: str, **arguments: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, num_classes=CLASSES, **arguments)


def _images(size: int, name: str = "x", channels: int = 3) -> Callable[[int], Inputs]:
    return lambda rows: {name: torch.randn(rows, channels, size, size)}


def _text(rows: int) -> Inputs:
    ids = torch.randint(3, VOCABULARY, (rows, TOKENS))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _sound(rows: int) -> Inputs:
    return {"input_values": torch.randn(rows, 400)}


class Encoder(nn.Module):
    """torch.nn.TransformerEncoder with a head."""

    def __init__(self, norm_first: bool = False):
        super().__init__()
        self.embed = nn.Linear(6, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.0, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x)).mean(1))


class Crossed(nn.Module):
    """torch.nn.Transformer: an encoder, and a decoder that looks at it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.transformer = nn.Transformer(16, 2, 1, 1, 24, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y = self.embed(x)
        return self.head(self.transformer(y, y[:, :2]).mean(1))


def _swin(v2: bool) -> nn.Module:
    swin = torchvision.models.swin_transformer
    kinds = {"block": swin.SwinTransformerBlockV2, "downsample_layer": swin.PatchMergingV2} if v2 else {}
    sizes = {"patch_size": [4, 4], "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": [2, 2]}
    return swin.SwinTransformer(**sizes, num_classes=CLASSES, stochastic_depth_prob=0.0, **kinds)


def _torchvision_vit() -> nn.Module:
    return torchvision.models.VisionTransformer(8, 4, 2, 2, 16, 24, num_classes=CLASSES)


def _maxvit() -> nn.Module:
    sizes: dict[str, Any] = {"stem_channels": 8, "partition_size": 2, "block_channels": [8, 16], "block_layers": [1, 1]}
    return torchvision.models.MaxVit((16, 16), head_dim=4, stochastic_depth_prob=0.0, num_classes=CLASSES, **sizes)


Network = tuple[Callable[[], nn.Module], Callable[[int], Inputs]]

_BERTS = ("Bert", "Roberta", "XLMRoberta", "Camembert", "Electra", "MPNet", "Ernie", "RoFormer", "MegatronBert",
          "XLMRobertaXL", "RobertaPreLayerNorm", "Data2VecText", "Deberta", "DebertaV2", "ConvBert",
          "Nystromformer", "LayoutLM")  # fmt: skip
_DECODERS = ("Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "Gemma2", "Phi", "Phi3", "StableLm", "Starcoder2", "Olmo",
             "Olmo2", "Cohere", "Granite", "Persimmon", "Nemotron", "Glm", "Helium")  # fmt: skip
_SPEECH = ("Wav2Vec2", "Hubert", "WavLM", "UniSpeechSat", "UniSpeech", "Data2VecAudio", "SEW")
_VITS = ("ViT", "DeiT", "Dinov2", "Dinov2WithRegisters", "ViTMSN", "Beit", "Data2VecVision", "IJepa")

NETWORKS: dict[str, Network] = {
    **{f"transformers {n}": (_of(n, "ForSequenceClassification", **TEXT, **QUIET), _text) for n in _BERTS},
    **{f"transformers {n}": (_of(n, "ForCausalLM", **DECODER), lambda rows: {"input_ids": _text(rows)["input_ids"]})
       for n in _DECODERS},
    **{f"transformers {n}": (_of(n, "ForSequenceClassification", **SOUND), _sound) for n in _SPEECH},
    **{f"transformers {n}": (_of(n, "ForImageClassification", **IMAGE), _images(16, "pixel_values")) for n in _VITS},
    "transformers DistilBert": (
        _of("DistilBert", "ForSequenceClassification", vocab_size=VOCABULARY, dim=16, n_layers=2, n_heads=2,
            hidden_dim=24, num_labels=CLASSES, dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0), _text),
    "transformers Albert": (
        _of("Albert", "ForSequenceClassification", **TEXT, **QUIET, embedding_size=8, classifier_dropout_prob=0.0),
        _text),
    "transformers ModernBert": (
        _of("ModernBert", "ForSequenceClassification", **TEXT, cls_token_id=1, sep_token_id=2, bos_token_id=1,
            eos_token_id=2), _text),
    "transformers Funnel": (
        _of("Funnel", "ForSequenceClassification", vocab_size=VOCABULARY, block_sizes=[1, 1], d_model=16, n_head=2,
            d_head=8, d_inner=24, num_labels=CLASSES, hidden_dropout=0.0, attention_dropout=0.0), _text),
    "transformers T5Encoder": (
        _of("T5", "ForTokenClassification", vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=24, num_layers=2,
            num_heads=2, num_labels=CLASSES, dropout_rate=0.0, classifier_dropout=0.0), _text),
    "transformers GPT2": (
        _of("GPT2", "LMHeadModel", vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=16,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=2), _text),
    "transformers GPTNeoX": (
        _of("GPTNeoX", "ForCausalLM", **TEXT, bos_token_id=1, eos_token_id=2, hidden_dropout=0.0,
            attention_dropout=0.0), _text),
    "transformers GPTJ": (
        _of("GPTJ", "ForCausalLM", vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, rotary_dim=4, n_positions=16,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=2), _text),
    "transformers OPT": (
        _of("OPT", "ForCausalLM", vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            ffn_dim=24, word_embed_proj_dim=16, max_position_embeddings=32, dropout=0.0, pad_token_id=0,
            bos_token_id=1, eos_token_id=2), _text),
    "transformers Bloom": (
        _of("Bloom", "ForCausalLM", vocab_size=VOCABULARY, hidden_size=16, n_layer=2, n_head=2, bos_token_id=1,
            eos_token_id=2), _text),
    "transformers Falcon": (
        _of("Falcon", "ForCausalLM", vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            bos_token_id=1, eos_token_id=2), _text),
    "transformers Swin": (
        _of("Swin", "ForImageClassification", image_size=16, patch_size=2, embed_dim=8, depths=[2, 1],
            num_heads=[2, 2], window_size=2, drop_path_rate=0.0, num_labels=CLASSES), _images(16, "pixel_values")),
    "transformers Swinv2": (
        _of("Swinv2", "ForImageClassification", image_size=16, patch_size=2, embed_dim=8, depths=[2, 1],
            num_heads=[2, 2], window_size=2, drop_path_rate=0.0, num_labels=CLASSES), _images(16, "pixel_values")),
    "transformers Segformer": (
        _of("Segformer", "ForImageClassification", num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1],
            hidden_sizes=[8, 16], patch_sizes=[3, 3], strides=[2, 2], num_attention_heads=[2, 2], mlp_ratios=[2, 2],
            drop_path_rate=0.0, num_labels=CLASSES), _images(16, "pixel_values")),
    "transformers AST": (
        _of("AST", "ForAudioClassification", **SIZE, patch_size=4, frequency_stride=4, time_stride=4, max_length=8,
            num_mel_bins=8), lambda rows: {"input_values": torch.randn(rows, 8, 8)}),
    "transformers VideoMAE": (
        _of("VideoMAE", "ForVideoClassification", **IMAGE, num_frames=2, tubelet_size=2),
        lambda rows: {"pixel_values": torch.randn(rows, 2, 3, 16, 16)}),
    **{f"timm {n}": (_timm(n, img_size=32, embed_dim=24, depth=2, num_heads=2, **more), _images(32)) for n, more in {
        "vit_tiny_patch16_224": {}, "deit_tiny_distilled_patch16_224": {}, "beit_base_patch16_224": {},
        "eva02_tiny_patch14_224": {"patch_size": 8}, "vit_relpos_small_patch16_224": {}, "xcit_nano_12_p16_224": {},
        "cait_xxs24_224": {}, "vit_small_patch14_reg4_dinov2": {"patch_size": 8}, "convit_tiny": {},
        "flexivit_small": {}, "deit3_small_patch16_224": {}, "vit_base_patch16_siglip_224": {}}.items()},
    **{f"timm {n}": (_timm(n, img_size=32, **more), _images(32)) for n, more in {
        "swin_tiny_patch4_window7_224": {"embed_dim": 12, "depths": (1, 1), "num_heads": (2, 2), "window_size": 4},
        "swinv2_tiny_window8_256": {"embed_dim": 12, "depths": (1, 1), "num_heads": (2, 2), "window_size": 4},
        "coat_tiny": {"embed_dims": (8, 8, 8, 8), "serial_depths": (1, 1, 1, 1), "parallel_depth": 0},
        "tnt_s_legacy_patch16_224": {"embed_dim": 24, "inner_dim": 8, "depth": 1, "num_heads_outer": 2,
                                     "num_heads_inner": 2}}.items()},
    **{f"timm {n}": (_timm(n, **more), _images(32)) for n, more in {
        "pvt_v2_b0": {"embed_dims": (8, 8, 16, 16), "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2)},
        "twins_svt_small": {"img_size": 32, "embed_dims": (8, 8, 16, 16), "depths": (1, 1, 1, 1),
                            "num_heads": (1, 1, 2, 2), "wss": (1, 1, 1, 1), "sr_ratios": (1, 1, 1, 1)},
        "davit_tiny": {"embed_dims": (8, 8, 8, 8), "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1),
                       "window_size": 2}}.items()},
    "torchvision VisionTransformer": (_torchvision_vit, _images(8)),
    "torchvision SwinTransformer": (lambda: _swin(False), _images(16)),
    "torchvision SwinTransformerV2": (lambda: _swin(True), _images(16)),
    "torchvision MaxVit": (_maxvit, _images(16)),
    "torch TransformerEncoder": (Encoder, lambda rows: {"x": torch.randn(rows, 4, 6)}),
    "torch TransformerEncoder, norm first": (lambda: Encoder(True), lambda rows: {"x": torch.randn(rows, 4, 6)}),
    "torch Transformer": (Crossed, lambda rows: {"x": torch.randn(rows, 4, 6)}),
}  # fmt: skip
"""Library and architecture -> how to build it, and inputs of so many rows."""


def build(name: str) -> nn.Module:
    """The network, always the same."""
    torch.manual_seed(0)
    return lively(NETWORKS[name][0]()).eval()


def inputs_of(name: str, rows: int = 3) -> Inputs:
    """Inputs, always the same."""
    torch.manual_seed(1)
    return NETWORKS[name][1](rows)
