"""Finding layers, heads and blocks; the errors when there is nothing to find."""

from __future__ import annotations

import pytest
import timm
import torch
import transformers as tf
from torch import nn

from lora_ensemble.engine import surgery
from lora_ensemble.errors import NoMatchError
from tiny_models import TINY


@pytest.mark.parametrize("name", sorted(TINY))
def test_finds_the_four_projections_of_every_attention_layer(name: str) -> None:
    tiny = TINY[name]
    model = tiny.build()
    found = surgery.attention_projections(model)
    layers = {"swin": 3}.get(name, 2)
    assert len(found) == layers * len(tiny.projections)
    for projection in tiny.projections:
        assert sum(path.endswith(projection) for path in found) == layers


@pytest.mark.parametrize("name", sorted(TINY))
def test_finds_the_head_and_the_blocks(name: str) -> None:
    tiny = TINY[name]
    model = tiny.build()
    assert surgery.find_head(model) == tiny.head
    assert (surgery.output_layer(model) is not None) == (tiny.head is None)
    blocks = surgery.blocks(model, surgery.attention_projections(model))
    assert len(blocks) == 2
    assert {type(model.get_submodule(b)).__name__ for b in blocks} <= {
        "ViTLayer",
        "DeiTLayer",
        "SwinStage",
        "ASTLayer",
        "BertLayer",
        "RobertaLayer",
        "LlamaDecoderLayer",
        "GPT2Block",
        "Block",
        "PlainBlock",
    }


TIMM = {
    "beit_base_patch16_224": ("head", {"qkv", "proj"}),
    "cait_xxs24_224": ("head", {"q", "k", "v", "qkv", "proj", "proj_l", "proj_w"}),
    "convit_tiny": ("head", {"qk", "v", "proj", "qkv"}),
    "crossvit_9_240": ("head", {"qkv", "proj", "wq", "wk", "wv"}),
    "eva02_large_patch14_clip_224": ("head", {"q_proj", "k_proj", "v_proj", "proj"}),
    "maxvit_tiny_tf_224": ("head.fc", {"qkv", "proj"}),
    "mvitv2_tiny": ("head.fc", {"qkv", "proj"}),
    "swinv2_tiny_window8_256": ("head.fc", {"qkv", "proj"}),
    "vit_base_patch16_siglip_224": ("head", {"qkv", "proj"}),
    "xcit_nano_12_p8_224": ("head", {"qkv", "q", "k", "v", "proj"}),
}


@pytest.mark.parametrize("architecture", sorted(TIMM))
def test_finds_them_in_timm(architecture: str) -> None:
    """Nothing of the multilayer perceptrons, position biases and pooling inside these."""
    with torch.device("meta"):
        model = timm.create_model(architecture, num_classes=7)
    head, names = TIMM[architecture]
    assert surgery.find_head(model) == head
    found = surgery.attention_projections(model)
    assert {path.rpartition(".")[2] for path in found} <= names
    assert len(found) >= 12
    assert not any("mlp" in path or "pool" in path for path in found)


def small(kind: str) -> nn.Module:
    """Architectures with something else next to their attention."""
    one = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    with torch.device("meta"):
        if kind == "siglip":  # pools by a torch.nn.MultiheadAttention
            return tf.SiglipForImageClassification(tf.SiglipConfig(vision_config=one, text_config=one))
        if kind == "mllama":  # a cross-attention layer whose class says attention, with its perceptron inside
            text = one | {"num_key_value_heads": 2, "vocab_size": 40, "cross_attention_layers": [0], "pad_token_id": 0}
            rope = {"rope_type": "default", "rope_theta": 1e4}
            return tf.MllamaForCausalLM(tf.models.mllama.MllamaTextConfig(**text, rope_parameters=rope))
        if kind == "flaubert":  # its head has a name of its own
            return tf.FlaubertForSequenceClassification(
                tf.FlaubertConfig(emb_dim=16, n_layers=1, n_heads=2, n_words=40)
            )
        assert kind == "t5"
        config = tf.T5Config(d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, vocab_size=40)
        return tf.T5ForSequenceClassification(config)


@pytest.mark.parametrize(
    ("kind", "head", "names", "count"),
    [
        ("siglip", "classifier", {"q_proj", "k_proj", "v_proj", "out_proj"}, 4),
        ("mllama", None, {"q_proj", "k_proj", "v_proj", "o_proj"}, 4),
        ("flaubert", "sequence_summary.summary", {"q_lin", "k_lin", "v_lin", "out_lin"}, 4),
        ("t5", "classification_head", {"q", "k", "v", "o"}, 12),
    ],
)
def test_leaves_the_rest_alone(kind: str, head: str | None, names: set[str], count: int) -> None:
    model = small(kind)
    found = surgery.attention_projections(model)
    assert {path.rpartition(".")[2] for path in found} == names
    assert len(found) == count
    assert surgery.find_head(model) == head


def test_several_heads_must_be_named() -> None:
    with torch.device("meta"):
        model = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=7)
    with pytest.raises(NoMatchError, match=r"several heads; name them in modules_to_save: \['head', 'head_dist'\]"):
        surgery.find_head(model)


def test_without_attention_says_what_there_is() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(NoMatchError, match=r"^no attention projection in this model. There is: 0, 2\.$"):
        surgery.attention_projections(model)


def test_multihead_attention_has_two_projections() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
    assert surgery.attention_projections(layer) == ["self_attn.in_proj", "self_attn.out_proj"]


class Copying(nn.Module):
    """Initialises one layer, asks for the type of another, reads a third and calls a fourth."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third, self.fourth = (nn.Linear(2, 2) for _ in range(4))
        nn.init.zeros_(self.first.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(self.second(x.to(self.second.weight.dtype)))
        return self.fourth(nn.functional.linear(x, self.third.weight))


def test_layers_that_are_read_are_found() -> None:
    model = nn.Sequential(Copying())
    assert [n for n in ("first", "second", "third", "fourth") if surgery.is_read(model, f"0.{n}")] == ["third"]


def test_a_path_that_is_not_there() -> None:
    with pytest.raises(NoMatchError) as raised:
        surgery.get(TINY["vit"].build(), "clasifier")
    assert str(raised.value).startswith("no module 'clasifier' in this model. Did you mean 'classifier'? There is: ")
    assert "vit.layers.*.attention.o_proj and 9 more." in str(raised.value)
    assert "\n" not in str(raised.value)


def test_names_match_whole_components() -> None:
    model = nn.ModuleDict(
        {"head": nn.Linear(2, 2), "a": nn.ModuleDict({"head": nn.Linear(2, 2), "overhead": nn.Linear(2, 2)})}
    )
    assert surgery.ending(model, "head") == ["head"]  # the path itself
    assert surgery.ending(model["a"], "head") == ["head"]
    assert surgery.matching(nn.ModuleList([model["a"]]), ["head", "0.head"], "module") == ["0.head"]
    with pytest.raises(NoMatchError, match=r"Did you mean 'overhead'\?"):
        surgery.matching(model, ["overhed"], "module")


def test_replaces_in_place() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 2))
    new = nn.Identity()
    surgery.replace(model, "0.0", new)
    assert model[0][0] is new
    surgery.replace(model, "1", new)
    assert model[1] is new
