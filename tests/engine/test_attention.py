"""Attention in training in bf16 on a CPU: what it computes, where it runs, and that a recomputation finds it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from lora_ensemble.contracts import LoadedBackbone
from lora_ensemble.engine import attention
from lora_ensemble.engine.attention import MOST_TOKENS, training_attention
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.methods.deep import Deep
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.mc_dropout import McDropout
from lora_ensemble.methods.snapshot import Snapshot
from tiny_models import TINY
from tolerance import close

MEMBERS, ROWS = 3, 4


@pytest.fixture(autouse=True)
def any_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor that multiplies bf16, whichever this one is."""
    monkeypatch.setattr(attention, "_multiplies_bf16", lambda: True)


def drawn(heads: int, tokens: int, seed: int, width: int = 16) -> Tensor:
    """Laid out as a model has it: heads beside each other."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, tokens, heads, width, generator=generator).transpose(1, 2).to(torch.bfloat16)


def with_gradient(given: tuple[Tensor, ...], **options: Any) -> tuple[str, list[Tensor]]:
    """Output and gradients, and the name of the kernel."""
    leaves = [x.clone().requires_grad_() for x in given]
    out = scaled_dot_product_attention(*leaves, **options)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    (out * weight.to(out.dtype)).sum().backward()
    return out.grad_fn.name(), [out.detach(), *(x.grad for x in leaves)]


def error(ours: Tensor, exact: Tensor) -> float:
    return float((ours.double() - exact).norm() / exact.norm())


T, S = 37, 21
ALLOWED = torch.rand(3, 1, T, S, generator=torch.Generator().manual_seed(3)) < 0.5
ALLOWED[0, 0, 5] = False  # a row that may attend to nothing
BIAS = torch.randn(1, 2, T, S, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize(
    ("key_heads", "options"),
    [
        (2, {}),
        (2, {"scale": 0.7}),
        (2, {"is_causal": True}),
        (1, {"enable_gqa": True}),
        (2, {"attn_mask": ALLOWED}),
        (2, {"attn_mask": BIAS}),
    ],
)
def test_rounds_no_worse_than_torch_around_the_exact_values(key_heads: int, options: dict[str, Any]) -> None:
    given = (4 * drawn(2, T, 0), drawn(key_heads, S, 1), drawn(key_heads, S, 2))
    wide = {k: v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for k, v in options.items()}
    narrow = {k: v.bfloat16() if isinstance(v, Tensor) and v.is_floating_point() else v for k, v in options.items()}
    _, exact = with_gradient(tuple(x.double() for x in given), **wide)
    usual, theirs = with_gradient(given, **narrow)
    with training_attention():
        kernel, ours = with_gradient(given, **narrow)
    assert kernel == "ShortAttentionBackward" != usual
    for own, other, true in zip(ours, theirs, exact, strict=True):
        assert own.dtype == torch.bfloat16
        assert not own.isnan().any()
        assert error(own, true) <= max(2 * error(other, true), 3 * torch.finfo(torch.bfloat16).eps)


@pytest.mark.parametrize(
    ("tokens", "dtype", "options"),
    [
        (T, torch.float32, {}),
        (MOST_TOKENS + 1, torch.bfloat16, {}),
        (T, torch.bfloat16, {"attn_mask": BIAS[..., :1].expand(1, 2, T, T).bfloat16().clone().requires_grad_()}),
        (T, torch.bfloat16, {"dropout_p": 0.1}),
    ],
)
def test_everything_else_is_bit_for_bit_what_it_was(tokens: int, dtype: torch.dtype, options: dict[str, Any]) -> None:
    given = tuple(drawn(2, tokens, seed).to(dtype) for seed in range(3))
    torch.manual_seed(0)
    kernel, usual = with_gradient(given, **options)
    torch.manual_seed(0)
    with training_attention():
        same, ours = with_gradient(given, **options)
    assert same == kernel
    assert all(torch.equal(a, b) for a, b in zip(ours, usual, strict=True))


def test_a_processor_without_products_in_bf16_keeps_torchs_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_multiplies_bf16", lambda: False)
    given = tuple(drawn(2, T, seed) for seed in range(3))
    usual, _ = with_gradient(given)
    with training_attention():
        assert with_gradient(given)[0] == usual


def kernels(tensor: Tensor) -> Iterator[str]:
    """Names of all that a tensor was computed with."""
    seen, left = set(), [tensor.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node.name()
            left += [following for following, _ in node.next_functions]


METHODS = {
    "lora": Lora(members=MEMBERS),
    "deep": Deep(members=2),
    "mc-dropout": McDropout(members=2),
    "snapshot": Snapshot(members=2),
}


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("architecture", ["vit", "timm-vit", "bert"])
def test_every_method_has_it_in_training_alone(method: str, architecture: str) -> None:
    tiny = TINY[architecture]
    ensemble = METHODS[method].build(LoadedBackbone(tiny.build(), dict, dict, tiny.head), seed=0)  # type: ignore[arg-type]
    inputs, labels = tiny.batch(ROWS)
    for training in (True, False):
        ensemble.train(training)
        if not training and method == "snapshot":
            continue  # nothing to predict with before the end of the first cycle
        with torch.autocast("cpu", torch.bfloat16):
            loss = ensemble(labels=labels, **inputs).loss
        assert ("ShortAttentionBackward" in set(kernels(loss))) is training


def gradients(ensemble: Ensemble, inputs: dict[str, Tensor], labels: Tensor) -> list[Tensor]:
    ensemble.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        loss = ensemble.train()(labels=labels, **inputs).loss
    loss.backward()
    return [p.grad.clone() for p in ensemble.parameters() if p.requires_grad and p.grad is not None]


def lora(name: str, **options: Any) -> LoraEnsemble:
    ensemble = LoraEnsemble(TINY[name].build(), members=MEMBERS, r=2, **options)
    for parameter in ensemble.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(1))
    return ensemble


@pytest.mark.parametrize("name", ["vit", "bert", "llama"])
def test_recomputed_blocks_find_it_again(name: str) -> None:
    usual, recomputed = lora(name), lora(name)
    recomputed.gradient_checkpointing_enable()
    batch = TINY[name].batch(ROWS)
    for a, b in zip(gradients(usual, *batch), gradients(recomputed, *batch), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["vit", "bert", "llama"])
def test_passes_under_one_graph_find_it_again(name: str) -> None:
    batch = TINY[name].batch(ROWS)
    for a, b in zip(gradients(lora(name), *batch), gradients(lora(name, members_per_pass=1), *batch), strict=True):
        close(a, b, dtype=torch.bfloat16)


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
def test_what_others_recompute_keeps_torchs_kernel() -> None:
    """transformers' own recomputation knows nothing of us: it would find another kernel, and complain."""
    ensemble = lora("vit")
    ensemble.model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    assert gradients(ensemble, *TINY["vit"].batch(ROWS))
