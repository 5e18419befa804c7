"""DropoutEnsemble: dropout that stays on; DropKey against attention written out."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.engine.dropkey import dropkey_attention
from lora_ensemble.engine.dropout import DropoutEnsemble
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.layers.member import MemberLayer
from lora_ensemble.errors import ConfigurationError, NoMatchError
from lora_ensemble.methods.mc_dropout import McDropout
from tiny_models import CLASSES, TINY, PlainTransformer, lively
from tolerance import close

ROWS = 4


def make(name: str = "vit", members: int = 3, p: float = 0.4, **options: Any) -> DropoutEnsemble:
    return DropoutEnsemble(TINY[name].build(), members, p=p, **options).eval()


def attention(p: float, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, **options: Any) -> Tensor:
    """(B, T, heads, d)."""
    module: Any = SimpleNamespace(dropkey_p=p, is_causal=False)
    return dropkey_attention(module, q, k, v, mask, **options)[0]


def weights(p: float, mask: Tensor | None = None, heads: int = 2, length: int = 6, **options: Any) -> Tensor:
    """Attention weights (B, heads, T, S): values are the unit vectors."""
    q, k = torch.randn(2, 64, heads, length, length)
    v = torch.eye(length).expand(64, heads, length, length)
    return attention(p, q, k, v, mask, **options).transpose(1, 2)


def slow(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | float = 0.0, scale: float | None = None) -> Tensor:
    """softmax(q k' / sqrt(d) + bias) v with the heads of k repeated for groups of q, (B, T, heads, d)."""
    groups = q.shape[1] // k.shape[1]
    k, v = (torch.stack([t[:, h // groups] for h in range(q.shape[1])], 1) for t in (k, v))
    scores = q @ k.transpose(-1, -2) * (scale or 1 / math.sqrt(q.shape[-1])) + bias
    return (scores.softmax(-1) @ v).transpose(1, 2)


def test_without_dropping_it_is_attention() -> None:
    q, k, v = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    close(attention(0.0, q, k, v), slow(q, k, v))
    close(attention(0.0, q, k, v, scaling=0.3), slow(q, k, v, scale=0.3))
    allowed = torch.rand(2, 1, 5, 5) > 0.3
    allowed[..., 0] = True
    bias = torch.zeros(2, 1, 5, 5).masked_fill(~allowed, float("-inf"))
    close(attention(0.0, q, k, v, allowed), slow(q, k, v, bias))
    added = torch.randn(1, 4, 5, 5)
    close(attention(0.0, q, k, v, added), slow(q, k, v, added))
    both = attention(0.0, q, k, v, allowed, position_bias=added)
    close(both, slow(q, k, v, bias + added))
    summed = attention(0.0, q, k, v, bias, position_bias=added)
    close(summed, slow(q, k, v, bias + added))
    causal = torch.full((5, 5), float("-inf")).triu(1)
    close(attention(0.0, q, k, v, is_causal=True), slow(q, k, v, causal))


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_each_key_is_dropped_with_probability_p(p: float) -> None:
    """Independently for each sample, head and query; the rest is attended to as if there were nothing else."""
    kept = weights(p, heads=8) > 0
    n = kept.numel()
    expected = 1 - p + p**6  # where all six would be dropped, they are kept
    assert kept.float().mean().item() == pytest.approx(expected, abs=4 * math.sqrt(0.25 / n))
    for axis in range(4):  # no axis shares its draws
        assert (kept != kept.roll(1, axis)).float().mean() > p * (1 - p)
    torch.testing.assert_close(weights(p).sum(-1), torch.ones(64, 2, 6))


def test_a_query_that_would_lose_every_key_keeps_them_all() -> None:
    length = 3
    dropped = weights(0.999, length=length)
    whole = (dropped > 0).all(-1)
    assert ((dropped > 0).sum(-1) >= 1).all()
    assert whole.float().mean() > 0.98
    mask = torch.tensor([True, False, True]).expand(64, 1, length, length)
    masked = weights(0.999, mask, length=length) > 0
    assert not masked[..., 1].any()
    assert masked[..., [0, 2]].all(-1).float().mean() > 0.98


@pytest.mark.parametrize("kind", ["bool", "float"])
def test_masked_keys_stay_masked(kind: str) -> None:
    allowed = torch.ones(64, 1, 6, 6, dtype=torch.bool).tril()
    allowed[:32, ..., 0] = False  # the first query of these may attend to nothing
    mask = allowed if kind == "bool" else torch.zeros(64, 1, 6, 6).masked_fill(~allowed, torch.finfo(torch.float32).min)
    kept = weights(0.5, mask)
    assert torch.isfinite(kept).all()
    assert not (kept > 0)[~allowed.expand_as(kept)].any()
    assert ((kept > 0).any(-1) == allowed.expand_as(kept).any(-1)).all()


def test_attention_with_more_than_that_is_refused() -> None:
    q = torch.randn(1, 2, 3, 4)
    with pytest.raises(ConfigurationError, match="does not know attention with softcap"):
        attention(0.1, q, q, q, softcap=50.0)


# In models --------------------------------------------------------------------------------------------------------


def test_later_tokens_never_reach_earlier_ones() -> None:
    ensemble = make("llama")
    inputs, _ = TINY["llama"].batch(ROWS)
    changed = inputs["input_ids"].clone()
    changed[:, 4:] = 3
    torch.manual_seed(0)
    before = ensemble(**inputs).logits
    torch.manual_seed(0)
    after = ensemble(input_ids=changed).logits
    close(after[:, :, :4], before[:, :, :4])
    assert (after[:, :, 4:] - before[:, :, 4:]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("name", "side"), [("bert", "right"), ("llama-classifier", "right"), ("llama-classifier", "left")]
)
def test_padding_is_never_attended_to(name: str, side: str) -> None:
    ensemble = make(name)
    inputs, labels = TINY[name].batch(ROWS)
    ids, mask = inputs["input_ids"].clamp(min=3), torch.ones_like(inputs["input_ids"])
    padded = slice(0, 3) if side == "left" else slice(4, 7)
    mask[:, padded] = 0
    logits = []
    for token in (0, 0) if name == "llama-classifier" else (0, 9):
        torch.manual_seed(0)
        logits.append(ensemble(input_ids=ids.masked_fill(mask == 0, token), attention_mask=mask).logits)
    close(logits[0], logits[1])
    output = ensemble.train()(input_ids=ids.masked_fill(mask == 0, 0), attention_mask=mask, labels=labels)
    output.loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in ensemble.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", ["vit", "deit", "swin", "ast", "bert", "roberta", "llama-classifier", "llama", "gpt2"])
def test_without_dropping_a_model_is_itself(name: str) -> None:
    """Masks, position biases, scales and grouped queries all arrive."""
    ensemble = make(name, p=0.0)
    inputs, _ = TINY[name].batch(ROWS)
    expected = TINY[name].build()(**inputs).logits
    for logits in ensemble(**inputs).logits:
        close(logits, expected)


@pytest.mark.parametrize(
    ("name", "dropout"), [("vit", "dropkey"), ("bert", "dropkey"), ("bert", "dropout"), ("timm-vit", "dropout")]
)
def test_members_are_passes_that_differ(name: str, dropout: str) -> None:
    ensemble = make(name, dropout=dropout)
    inputs, labels = TINY[name].batch(ROWS)
    torch.manual_seed(0)
    logits = ensemble(**inputs).logits
    assert logits.shape == (3, ROWS, CLASSES)
    assert (logits[0] - logits[1]).abs().max() > 1e-2
    torch.manual_seed(0)
    assert torch.equal(ensemble(**inputs).logits, logits)
    assert torch.isfinite(logits).all()
    output = ensemble.train()(labels=labels, **inputs)
    assert output.logits.shape == (1, ROWS, CLASSES)  # one pass is trained


def test_their_mean_is_the_mean_of_the_network() -> None:
    """Members come from the distribution of the network's own passes."""
    many, one = make(members=400, p=0.3), make(members=1, p=0.3)
    inputs, _ = TINY["vit"].batch(2)
    torch.manual_seed(0)
    with torch.no_grad():
        together = many(**inputs).logits
        alone = torch.cat([one(**inputs).logits for _ in range(400)])
    error = (together.var(0) / 400 + alone.var(0) / 400).sqrt()
    assert ((together.mean(0) - alone.mean(0)).abs() < 5 * error + 1e-4).all()


def test_ordinary_dropout_stays_on_and_the_rest_is_in_evaluation_mode() -> None:
    class Normed(PlainTransformer):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm1d(16)

    ensemble = DropoutEnsemble(lively(Normed()), 2, p=0.3, dropout="dropout").eval()
    assert all(m.training and m.p == 0.3 for m in ensemble.modules() if isinstance(m, nn.Dropout))
    assert not ensemble.network.bn.training
    ensemble.train()
    inputs, _ = TINY["plain"].batch(ROWS)
    ensemble.predict(**inputs)
    assert all(m.training for m in ensemble.modules())


def test_a_head_for_every_member() -> None:
    ensemble = make(members=3, member_heads="classifier")
    ensemble.draw_heads(seed=1)
    inputs, labels = TINY["vit"].batch(ROWS)
    output = ensemble.train()(labels=labels, **inputs)
    assert output.logits.shape == (3, ROWS, CLASSES)
    assert output.member_losses.shape == (3,)
    weight = ensemble.network.classifier.weight
    assert weight.shape == (3, CLASSES, 16)
    assert not torch.equal(weight[0], weight[1])
    grads = torch.autograd.grad(output.member_losses[1], weight)[0]
    assert grads[1].any()
    assert not grads[[0, 2]].any()
    ensemble.members_per_pass = 2
    assert ensemble.eval()(**inputs).logits.shape == (3, ROWS, CLASSES)


@pytest.mark.parametrize("own", [None, "classifier"])
def test_gradient_checkpointing_draws_the_same_keys_again(own: str | None) -> None:
    inputs, labels = TINY["vit"].batch(ROWS)
    grads = []
    for checkpointing in (False, True):
        ensemble = make(member_heads=own).train()
        if checkpointing:
            ensemble.gradient_checkpointing_enable()
        torch.manual_seed(0)
        ensemble(labels=labels, **inputs).loss.backward()
        grads.append([p.grad for p in ensemble.parameters()])
    for plain, again in zip(*grads, strict=True):
        close(again, plain, depth=8)


@pytest.mark.parametrize(("dropout", "own"), [("dropkey", None), ("dropkey", "classifier"), ("dropout", None)])
def test_saved_and_loaded(dropout: str, own: str | None, tmp_path: Path) -> None:
    ensemble = make(dropout=dropout, member_heads=own)
    ensemble.draw_heads(seed=1)
    ensemble.save_pretrained(tmp_path)
    loaded = Ensemble.from_pretrained(tmp_path, TINY["vit"].build(seed=4))
    assert isinstance(loaded, DropoutEnsemble)
    assert loaded.options == ensemble.options
    inputs, _ = TINY["vit"].batch(ROWS)
    logits = []
    for e in (ensemble, loaded):
        torch.manual_seed(0)
        logits.append(e(**inputs).logits)
    assert torch.equal(*logits)


def test_attention_outside_transformers_drops_keys_too() -> None:
    """timm's blocks: each pass is attention written out, over the keys that the same random numbers keep."""
    p = 0.4
    ensemble = make("timm-vit", members=1, p=p)
    layer = next(m for m in ensemble.modules() if hasattr(m, "fused_attn"))
    x = torch.randn(3, 5, layer.qkv.in_features)
    q, k, v = layer.qkv(x).view(3, 5, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
    torch.manual_seed(0)
    kept = torch.rand(3, layer.num_heads, 5, 5) >= p
    kept |= ~kept.any(-1, keepdim=True)  # where all would be dropped, they are kept
    expected = layer.proj(slow(q, k, v, torch.zeros(kept.shape).masked_fill(~kept, float("-inf"))).flatten(2))
    torch.manual_seed(0)
    close(layer(x), expected)
    for name in ("timm-vit", "plain"):  # the plain one has a single head, without an axis of its own
        inputs, _ = TINY[name].batch(ROWS)
        logits = make(name, members=3, p=p)(**inputs).logits
        assert (logits[0] != logits[1]).any(1).all()  # in evaluation mode, too


def test_it_goes_through_checkpointing_and_training_outside_transformers() -> None:
    inputs, labels = TINY["timm-vit"].batch(ROWS)
    gradients = []
    for checkpointed in (False, True):
        ensemble = make("timm-vit", members=2).train()
        if checkpointed:
            ensemble.gradient_checkpointing_enable()
        torch.manual_seed(0)
        ensemble(**inputs, labels=labels).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in ensemble.parameters() if p.grad is not None]))
    close(*gradients, depth=8)


def test_models_without_what_is_dropped() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block, self.head = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.block(x).mean(1))

    written_out = DropoutEnsemble(Encoder(), 2, p=0.4)
    with pytest.raises(ConfigurationError, match="does not call scaled_dot_product_attention; choose 'dropout'"):
        written_out(x=torch.randn(ROWS, 5, 8))
    with pytest.raises(NoMatchError, match=r"no torch\.nn\.Dropout layer; use dropout = 'dropkey'"):
        make("llama", dropout="dropout")


def test_heads_start_as_asked() -> None:
    backbone = DigitsViT().load(10)
    ensemble = McDropout(members=3, heads="member", head_init="gaussian", head_std=0.1, head_mean=2.0).build(
        backbone, 0
    )
    (head,) = [layer for layer in ensemble.network.modules() if isinstance(layer, MemberLayer)]
    weights = [p for name, p in head.named_parameters() if "weight" in name]
    biases = [p for name, p in head.named_parameters() if "bias" in name]
    assert all(abs(w.mean() - 2) < 0.05 and 0.05 < w.std() < 0.2 for w in weights)
    assert not any(b.any() for b in biases)
    shared = McDropout(members=3, head_init="gaussian", head_mean=2.0).build(DigitsViT().load(10), 0)
    plain = McDropout(members=3).build(DigitsViT().load(10), 0)
    path = DigitsViT().load(10).head
    assert abs(shared.network.get_submodule(path).weight.mean() - 2) < 0.05
    assert abs(plain.network.get_submodule(path).weight.mean()) < 0.1
