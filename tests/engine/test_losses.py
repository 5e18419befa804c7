"""One loss per member, against torch's and transformers' own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.loss.loss_utils import ForCausalLMLoss

from lora_ensemble.engine.losses import check_labels, finite, member_cross_entropy
from lora_ensemble.errors import ConfigurationError, DataError


@settings(max_examples=40, deadline=None)
@given(
    members=st.integers(1, 3),
    rows=st.integers(1, 6),
    classes=st.integers(2, 5),
    own=st.booleans(),
    weighted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_is_each_members_mean(members: int, rows: int, classes: int, own: bool, weighted: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(members, rows, classes, generator=generator)
    labels = torch.randint(0, classes, (members, rows) if own else (rows,), generator=generator)
    labels[..., 1::3] = -100
    weights = torch.rand(classes, generator=generator) + 0.1 if weighted else None
    losses = member_cross_entropy(logits, labels, weights)
    for m in range(members):
        expected = F.cross_entropy(logits[m], labels[m] if own else labels, weights)
        torch.testing.assert_close(losses[m], expected)


def test_language_models_are_shifted() -> None:
    logits, labels = torch.randn(2, 3, 6, 9), torch.randint(0, 9, (3, 6))
    labels[1, 3:] = -100
    losses = member_cross_entropy(logits, labels)
    for m in range(2):
        torch.testing.assert_close(losses[m], ForCausalLMLoss(logits[m], labels, 9))
    own = torch.stack([labels, labels.flip(0)])
    torch.testing.assert_close(member_cross_entropy(logits, own)[1], ForCausalLMLoss(logits[1], own[1], 9))


def test_tokens_have_no_class_weights() -> None:
    with pytest.raises(ConfigurationError, match="here, they are tokens"):
        member_cross_entropy(torch.randn(2, 3, 6, 9), torch.randint(0, 9, (3, 6)), torch.ones(2))


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0.0])])
def test_where_nothing_counts_it_is_zero(weights: torch.Tensor | None) -> None:
    logits = torch.randn(2, 3, 2, requires_grad=True)
    labels = torch.full((3,), -100) if weights is None else torch.ones(3, dtype=torch.long)
    losses = member_cross_entropy(logits, labels, weights)
    assert losses.tolist() == [0, 0]
    losses.sum().backward()
    assert not logits.grad.any()


def test_low_precision_logits_are_summed_in_float32() -> None:
    losses = member_cross_entropy(torch.randn(2, 3, 4).bfloat16(), torch.zeros(3, dtype=torch.long))
    assert losses.dtype == torch.float32


def test_labels_out_of_range() -> None:
    check_labels(torch.tensor([0, 4, -100]), 5)
    with pytest.raises(DataError, match=r"^label 5 is out of range: the head has 5 classes, 0 to 4$"):
        check_labels(torch.tensor([[0, 5], [7, 0]]), 5)


def test_finite() -> None:
    assert finite(torch.ones(2))
    assert not finite(torch.tensor([1.0, float("inf")]))
    assert not finite(torch.tensor([1.0, float("nan")]))
