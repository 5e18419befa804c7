"""Members that follow their pool: against the definition, a slow twin and linear programming."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from lora_ensemble.predictions import Predictions
from lora_ensemble.recalibration.pool import following, sharpened


def drawn(seed: int, members: int = 3, rows: int = 6, classes: int = 4) -> tuple[Predictions, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    p = Predictions(4 * torch.randn(members, rows, classes, generator=generator))
    return p, torch.softmax(3 * torch.randn(rows, classes, generator=generator, dtype=torch.float64), 1)


def slow(p: Predictions, pool_BC: torch.Tensor) -> torch.Tensor:
    """Row by row: a channel from old classes to new, applied to each member."""
    out_MBC = torch.zeros(p.logits_MBC.shape, dtype=torch.float64)
    for b in range(len(p)):
        old = p.logits_MBC[:, b].double().softmax(-1).mean(0)
        new = pool_BC[b]
        channel = torch.zeros(len(new), len(new), dtype=torch.float64)
        lack = (new - old).clamp(min=0)
        for c in range(len(new)):
            stays = min(1.0, float(new[c] / old[c]))
            channel[c, c] += stays
            if stays < 1:
                channel[c] += (1 - stays) * lack / lack.sum()
        assert_close(channel.sum(1), torch.ones(len(new), dtype=torch.float64))
        out_MBC[:, b] = p.logits_MBC[:, b].double().softmax(-1) @ channel
    return out_MBC


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), members=st.integers(1, 5))
def test_the_mean_is_the_new_pool_and_each_member_goes_through_one_channel(seed: int, members: int) -> None:
    p, pool_BC = drawn(seed, members)
    moved = Predictions(following(p, pool_BC))
    assert_close(moved.pooled_probs(), pool_BC, atol=1e-6, rtol=1e-5)
    assert_close(moved.logits_MBC.double().softmax(-1), slow(p, pool_BC), atol=1e-6, rtol=1e-5)
    assert bool((moved.epistemic_B <= p.epistemic_B + 1e-6).all())
    assert_close(moved.total_B, moved.aleatoric_B + moved.epistemic_B, atol=1e-5, rtol=0)


def test_a_pool_that_stays_leaves_its_members() -> None:
    p, _ = drawn(0)
    assert_close(following(p, p.pooled_probs()).softmax(-1), p.probs_MBC)


def test_one_member_is_its_pool() -> None:
    p, pool_BC = drawn(1, members=1)
    assert_close(following(p, pool_BC)[0].double().softmax(-1), pool_BC, atol=1e-6, rtol=1e-5)


def test_no_other_channel_moves_less_mass() -> None:
    """The mass that leaves its class is half the distance of the pools, which no coupling undercuts."""
    p, pool_BC = drawn(2, rows=1)
    old = p.pooled_probs()[0]
    kept = torch.minimum(old, pool_BC[0]).sum()
    assert float(1 - kept) == pytest.approx(float((old - pool_BC[0]).abs().sum() / 2))


def test_certain_members_that_contradict_each_other() -> None:
    p = Predictions(torch.tensor([[[3000.0, 0.0, 0.0]], [[0.0, 3000.0, 0.0]]]))
    pool_BC = torch.tensor([[0.7, 0.0, 0.3]], dtype=torch.float64)
    moved = Predictions(following(p, pool_BC))
    assert_close(moved.pooled_probs(), pool_BC, atol=1e-12, rtol=1e-6)
    assert_close(moved.logits_MBC[0, 0].softmax(0), torch.tensor([1.0, 0.0, 0.0]))
    assert_close(moved.logits_MBC[1, 0].softmax(0), torch.tensor([0.4, 0.0, 0.6]))


def test_a_temperature_on_the_pool_is_one_on_its_logarithm() -> None:
    _, pool_BC = drawn(3)
    assert_close(sharpened(pool_BC, 0.5), pool_BC**2 / (pool_BC**2).sum(1, keepdim=True))
    assert sharpened(pool_BC, 1.0) is pool_BC
