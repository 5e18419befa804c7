"""Attention in bf16 on a CPU: the plain kernel gives what the flash kernel gives, and is taken where it is faster."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from lora_ensemble.training.attention import MOST_TOKENS, QuickBackward


def with_gradient(q, k, v, mode):
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    with mode:
        out = scaled_dot_product_attention(*leaves)
    kernel = out.grad_fn.name()
    out.float().square().sum().backward()
    return out, [x.grad for x in leaves], kernel


@pytest.mark.parametrize(
    ("tokens", "dtype", "plain"),
    [(37, torch.bfloat16, True), (37, torch.float32, False), (MOST_TOKENS + 1, torch.bfloat16, False)],
)
def test_only_short_attention_in_bf16_takes_the_plain_kernel(tokens, dtype, plain):
    q, k, v = torch.randn(3, 2, 3, tokens, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    out, gradients, kernel = with_gradient(q, k, v, QuickBackward())
    expected, expected_gradients, usual = with_gradient(q, k, v, contextlib.nullcontext())
    assert (kernel != usual) == plain
    torch.testing.assert_close(out, expected, atol=2e-2, rtol=2e-2)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=5e-2, rtol=5e-2)
