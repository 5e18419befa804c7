"""Member layers against a slow, obvious twin: each member computed by itself."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lora_ensemble.engine.layers.copies import MemberCopies
from lora_ensemble.engine.layers.heads import MemberHead, MemberLayerNorm
from lora_ensemble.engine.layers.lora import MemberLinear
from lora_ensemble.engine.layers.low_rank import AddLowRank
from lora_ensemble.engine.layers.member import MemberLayer
from lora_ensemble.engine.layers.passes import Pass, PassState
from lora_ensemble.engine.layers.per_member import per_member
from lora_ensemble.errors import ConfigurationError, FileFormatError
from tolerance import close

M = 3


def filled(layer: MemberLayer, seed: int = 0) -> MemberLayer:
    generator = torch.Generator().manual_seed(seed)
    for parameter in layer.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, generator=generator)
    return layer


def linear(width: int = 6, out: int = 12, r: int = 2, splits: int = 1, base: nn.Module | None = None) -> MemberLinear:
    base = (base or nn.Linear(width, out)).requires_grad_(False)
    layer = filled(MemberLinear(base, PassState(M), M, r, scale=0.5, dropout=0.0, splits=splits))
    assert isinstance(layer, MemberLinear)
    return layer


def twin(layer: MemberLinear, m: int, x: Tensor) -> Tensor:
    """W0 x + scale * B_m A_m x, part by part of a fused output."""
    y = layer.base_layer(x)
    low = x @ layer.lora_A[m].T
    parts = []
    for s, B in enumerate(layer.lora_B[m].chunk(layer.splits)):
        parts.append(low[..., s * layer.r : (s + 1) * layer.r] @ B.T)
    return y + layer.scale * torch.cat(parts, -1)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.lists(st.integers(1, 3), min_size=0, max_size=2),
    rows=st.integers(1, 3),
    splits=st.sampled_from([1, 3]),
    members=st.tuples(st.integers(0, M - 1), st.integers(1, M)),
)
def test_linear_is_every_member_by_itself(shape: list[int], rows: int, splits: int, members: tuple[int, int]) -> None:
    layer = linear(splits=splits)
    chosen = range(members[0], min(M, members[0] + members[1]))
    x = torch.randn(len(chosen) * rows, *shape, 6, requires_grad=True)
    with layer.state.running(Pass(chosen, len(chosen) * rows, shared=False)):
        y = layer(x)
    expected = torch.cat([twin(layer, m, own) for m, own in zip(chosen, x.chunk(len(chosen)), strict=True)])
    close(y, expected)
    inputs = [x, layer.lora_A, layer.lora_B]
    for own, slow in zip(
        torch.autograd.grad(y.square().sum(), inputs), torch.autograd.grad(expected.square().sum(), inputs), strict=True
    ):
        close(own, slow, depth=256)


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("base", [nn.Linear(6, 12), nn.Linear(6, 12, bias=False), Conv1D(12, 6)])
def test_one_member_and_merged_are_the_same(base: nn.Module, splits: int) -> None:
    layer = linear(base=base, splits=splits)
    x = torch.randn(M * 2, 4, 6)
    y = layer(x)
    for m, own in enumerate(x.chunk(M)):
        close(layer.member_layer(m)(own), y.chunk(M)[m])
    layer.merge()
    close(layer(x), y)
    with layer.state.running(Pass(range(1, 2), 2, shared=False)):
        close(layer(x.chunk(M)[1]), y.chunk(M)[1])
    layer.unmerge()
    with layer.state.running(Pass(range(M), 6, shared=False)):
        assert torch.equal(layer(x), y)


@pytest.mark.parametrize("splits", [1, 3])
def test_member_state_goes_there_and_back(splits: int) -> None:
    layer, other = linear(splits=splits), linear(splits=splits)
    filled(other, seed=1)
    for m in range(M):
        state = layer.member_state(m)
        assert state["lora_A.weight"].shape == (splits * 2, 6)
        assert state["lora_B.weight"].shape == (12, splits * 2)
        other.load_member_state(m, state)
    assert torch.equal(other.lora_A, layer.lora_A)
    assert torch.equal(other.lora_B, layer.lora_B)


def test_a_smaller_rank_is_filled_with_zeros() -> None:
    layer, small = linear(r=4), linear(r=1)
    layer.load_member_state(2, small.member_state(0))
    torch.testing.assert_close(layer.update(2), small.update(0))
    assert not layer.lora_A[2, 1:].any()


def test_a_joint_update_does_not_fit_separate_ones() -> None:
    layer = linear(splits=3)
    state = layer.member_state(0)
    state["lora_B.weight"] = state["lora_B.weight"] + 1
    with pytest.raises(FileFormatError, match="not block-diagonal"):
        layer.load_member_state(0, state)


def test_dropout_acts_in_training_on_every_member() -> None:
    layer = MemberLinear(nn.Linear(6, 12), PassState(M), M, r=2, scale=1.0, dropout=0.5)
    filled(layer)
    x = torch.randn(2, 6).repeat(M, 1)
    low = (layer(x) - layer.base_layer(x)).chunk(M)
    assert (low[0] - low[1]).abs().max() > 1e-3
    layer.eval()
    close(layer(x)[:2], twin(layer, 0, x[:2]))


def test_low_precision_backbones_get_float32_members() -> None:
    layer = linear(base=nn.Linear(6, 12).bfloat16())
    assert layer.lora_A.dtype == layer.lora_B.dtype == torch.float32
    x = torch.randn(M, 6, dtype=torch.bfloat16)
    y = layer(x)
    assert y.dtype == torch.bfloat16
    full = linear(base=layer.base_layer.float())
    torch.testing.assert_close(y.float(), full(x.float()), atol=0.1, rtol=0.05)
    assert linear(base=nn.Linear(6, 12).double()).lora_A.dtype == torch.float64


def test_autocast() -> None:
    layer, head = linear(), filled(MemberHead(nn.Linear(12, 4), PassState(M), M))
    x = torch.randn(M * 2, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        z = head(y)
    assert y.dtype == z.dtype == torch.bfloat16
    torch.testing.assert_close(z.float(), head(layer(x)), atol=0.3, rtol=0.1)


@pytest.mark.parametrize("bias", [True, False])
def test_heads_are_linear_layers(bias: bool) -> None:
    head = filled(MemberHead(nn.Linear(6, 4, bias=bias), PassState(M), M))
    x = torch.randn(M * 2, 5, 6)
    for m, (own, y) in enumerate(zip(x.chunk(M), head(x).chunk(M), strict=True)):
        close(y, head.member_layer(m)(own))
    assert sum(p.numel() for p in head.parameters()) == M * (24 + 4 * bias)


@pytest.mark.parametrize("bias", [True, False])
def test_layer_norms(bias: bool) -> None:
    norm = filled(MemberLayerNorm(nn.LayerNorm(6, eps=1e-3, bias=bias), PassState(M), M))
    x = torch.randn(M * 2, 5, 6)
    for m, (own, y) in enumerate(zip(x.chunk(M), norm(x).chunk(M), strict=True)):
        bias_m = norm.bias[m] if bias else None
        close(y, F.layer_norm(own, (6,), norm.weight[m], bias_m, 1e-3))
        close(y, norm.member_layer(m)(own))
    assert sum(p.numel() for p in norm.parameters()) == M * (6 + 6 * bias)


def test_any_other_module_is_copied() -> None:
    layer = filled(MemberCopies(nn.Conv1d(4, 3, 1), PassState(M), M))
    x = torch.randn(M * 2, 4, 5)
    for m, (own, y) in enumerate(zip(x.chunk(M), layer(x).chunk(M), strict=True)):
        torch.testing.assert_close(y, layer.member_layer(m)(own))
    other = filled(MemberCopies(nn.Conv1d(4, 3, 1), PassState(M), M), seed=1)
    for m in range(M):
        other.load_member_state(m, layer.member_state(m))
    assert torch.equal(other(x), layer(x))


def test_low_precision_layers_fit_their_plain_model() -> None:
    for base in (nn.Linear(6, 4), nn.LayerNorm(6)):
        layer = per_member(base.bfloat16(), PassState(M), M)
        assert isinstance(layer, MemberLayer)
        assert all(p.dtype == torch.float32 for p in layer.parameters())
        assert layer.member_layer(0)(torch.randn(2, 6, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_containers_are_kept() -> None:
    base = nn.Sequential(
        nn.LayerNorm(6), nn.Dropout(0.1), nn.Sequential(nn.Linear(6, 6), nn.Tanh()), nn.Conv1d(6, 2, 1)
    )
    head = per_member(base, PassState(M), M)
    kinds = [type(m) for m in head.modules() if isinstance(m, MemberLayer)]
    assert kinds == [MemberLayerNorm, MemberHead, MemberCopies]
    assert type(head[1]) is nn.Dropout
    assert type(head[2][1]) is nn.Tanh


def test_a_layer_outside_its_pass_is_an_error() -> None:
    layer = linear()
    with layer.state.running(Pass(range(1), 2, shared=True)):
        layer(torch.randn(2, 6))
    with pytest.raises(ConfigurationError, match="outside its pass"):
        layer(torch.randn(2, 6))


def test_rows_that_are_not_the_batch_are_an_error() -> None:
    layer = linear()
    with (
        layer.state.running(Pass(range(M), 6, shared=True)),
        pytest.raises(ConfigurationError, match=r"an input \(4, 6, 6\), whose first axis is not 6 rows"),
    ):
        layer(torch.randn(4, 6, 6))


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_the_derivative_of_the_low_rank_update_is_the_numerical_one(scale: float) -> None:
    torch.manual_seed(0)
    shapes = ((4, 3, 5), (2, 6, 7), (2, 2, 7), (2, 5, 2))  # y (m*B, T, out), x (m, N, in), A (m, R, in), B (m, out, R)
    y, x, A, B = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)

    def added(y: Tensor, x: Tensor, A: Tensor, B: Tensor) -> Tensor:
        return AddLowRank.apply(y * 1, x, A, B, scale)  # a fresh y, as a base layer gives it

    assert torch.autograd.gradcheck(added, (y, x, A, B))
    expected = y + scale * (x @ A.mT @ B.mT).view_as(y)
    torch.testing.assert_close(added(y, x, A, B), expected)
