"""One loss per member, against torch's and transformers' own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers.loss.loss_utils import ForCausalLMLoss, ForTokenClassification

from lora_ensemble.engine.losses import check_labels, finite, member_binary_cross_entropy, member_cross_entropy
from lora_ensemble.engine.tasks import aligned
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
    losses = member_cross_entropy(*aligned(logits, labels, "SEQ_CLS"), weights)
    for m in range(members):
        expected = F.cross_entropy(logits[m], labels[m] if own else labels, weights)
        torch.testing.assert_close(losses[m], expected)


def test_language_models_are_shifted() -> None:
    logits, labels = torch.randn(2, 3, 6, 9), torch.randint(0, 9, (3, 6))
    labels[1, 3:] = -100
    losses = member_cross_entropy(*aligned(logits, labels, "CAUSAL_LM"))
    for m in range(2):
        torch.testing.assert_close(losses[m], ForCausalLMLoss(logits[m], labels, 9))
    own = torch.stack([labels, labels.flip(0)])
    losses = member_cross_entropy(*aligned(logits, own, "CAUSAL_LM"))
    torch.testing.assert_close(losses[1], ForCausalLMLoss(logits[1], own[1], 9))


def test_labels_of_tokens_are_not_shifted() -> None:
    logits, labels = torch.randn(2, 3, 6, 9), torch.randint(0, 9, (3, 6))
    labels[:, 4:] = -100
    losses = member_cross_entropy(*aligned(logits, labels, "TOKEN_CLS"))
    for m in range(2):
        torch.testing.assert_close(losses[m], ForTokenClassification(logits[m], labels, SimpleNamespace(num_labels=9)))


def test_logits_of_tokens_need_a_task() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^logits \(B, T, C\) = \(3, 6, 9\), task_type = None: say task_type="
    ):
        aligned(torch.randn(2, 3, 6, 9), torch.zeros(3, 6), None)
    with pytest.raises(ConfigurationError, match=r"^logits \(3, 9, 6, 6\) have no loss yet"):
        aligned(torch.randn(2, 3, 9, 6, 6), torch.zeros(3, 6, 6), "TOKEN_CLS")
    with pytest.raises(DataError, match=r"^labels \(3, 5\) do not fit logits \(2, 3, 6, 9\): expected \(3, 6\)$"):
        aligned(torch.randn(2, 3, 6, 9), torch.zeros(3, 5), "TOKEN_CLS")


@settings(max_examples=20, deadline=None)
@given(classes=st.integers(2, 5), weighted=st.booleans(), ignored=st.booleans(), seed=st.integers(0, 99))
def test_binary_cross_entropy_is_torchs(classes: int, weighted: bool, ignored: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 6, classes, generator=generator)
    labels = torch.randint(0, classes, (2, 6), generator=generator)
    weights = torch.rand(classes, generator=generator) if weighted else None
    kept = torch.arange(6) >= (2 if ignored else 0)
    losses = member_binary_cross_entropy(logits, labels.where(kept, -100), weights)
    for m in range(2):
        one_hot = torch.eye(classes)[labels[m][kept]]
        torch.testing.assert_close(losses[m], nn.BCEWithLogitsLoss(weights)(logits[m][kept], one_hot))


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0.0])])
def test_where_nothing_counts_it_is_zero(weights: torch.Tensor | None) -> None:
    logits = torch.randn(2, 3, 2, requires_grad=True)
    labels = torch.full((3,), -100) if weights is None else torch.ones(3, dtype=torch.long)
    losses = member_cross_entropy(*aligned(logits, labels, None), weights)
    assert losses.tolist() == [0, 0]
    losses.sum().backward()
    assert not logits.grad.any()


def test_low_precision_logits_are_summed_in_float32() -> None:
    losses = member_cross_entropy(torch.randn(2, 3, 4).bfloat16(), torch.zeros(2, 3, dtype=torch.long))
    assert losses.dtype == torch.float32


def test_labels_out_of_range() -> None:
    check_labels(torch.tensor([0, 4, -100]), 5)
    with pytest.raises(DataError, match=r"^label 5 is out of range: the head has 5 classes, 0 to 4$"):
        check_labels(torch.tensor([[0, 5], [7, 0]]), 5)


def test_labels_that_are_no_classes() -> None:
    with pytest.raises(DataError, match=r"^labels are of type float32; class indices are whole numbers$"):
        check_labels(torch.tensor([0.5, 1.0]), 5)
    with pytest.raises(DataError, match=r"^the head has 1 class; regression is not supported yet"):
        check_labels(torch.tensor([0, 0]), 1)


def test_finite() -> None:
    assert finite(torch.ones(2))
    assert not finite(torch.tensor([1.0, float("inf")]))
    assert not finite(torch.tensor([1.0, float("nan")]))
