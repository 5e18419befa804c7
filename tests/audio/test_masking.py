"""Masks cover one band and one stretch of each example, as wide and in the places that they should be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_ensemble.audio.masking import Masking, stretches

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def generator(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 60), st.integers(0, 2**32))
def test_a_stretch_is_one_and_shorter_than_its_limit(examples, size, limit, seed):
    chosen = stretches(examples, size, limit, generator(seed))
    assert chosen.shape == (examples, size)
    assert bool((chosen.sum(1) <= max(limit - 1, 0)).all())
    begins = chosen[:, :1].sum(1) + (chosen[:, 1:] & ~chosen[:, :-1]).sum(1)
    assert bool((begins == chosen.any(1)).all())


@pytest.mark.parametrize("device", DEVICES)
def test_widths_and_places_are_uniform(device):
    number = 4000
    chosen = stretches(number, 10, 4, generator(device=device)).cpu()
    widths = chosen.sum(1)
    counts = torch.bincount(widths, minlength=4).double()
    assert len(counts) == 4
    # Five standard deviations of a binomial count.
    torch.testing.assert_close(counts, torch.full((4,), number / 4).double(), rtol=0, atol=5 * (number * 3 / 16) ** 0.5)
    starts = torch.bincount(chosen[widths == 3].int().argmax(1), minlength=8).double()
    each = counts[3] / 8
    torch.testing.assert_close(starts, torch.full((8,), float(each)).double(), rtol=0, atol=float(5 * each**0.5))


@pytest.mark.parametrize("device", DEVICES)
def test_masked_is_a_cross_and_the_rest_is_as_before(device):
    features = torch.randn(64, 50, 30, device=device)
    out = Masking(bins=12, frames=20, fill=7.0)({"input_values": features}, generator(device=device))["input_values"]
    masked = (out == 7.0).cpu()
    assert torch.equal(out.cpu()[~masked], features.cpu()[~masked])
    time, band = masked.all(2), masked.all(1)
    assert torch.equal(masked, time[:, :, None] | band[:, None, :])
    assert int(time.sum(1).max()) <= 19
    assert int(band.sum(1).max()) <= 11
    assert len({tuple(row.tolist()) for row in torch.cat([time, band], 1)}) > 50  # each example its own


def test_the_generator_decides():
    batch = {"input_values": torch.randn(8, 40, 20)}
    one, same, other = (Masking(8, 8)(batch, generator(seed))["input_values"] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_what_are_no_features_stays():
    batch = {"input_values": torch.randn(3, 40, 20), "weight": torch.rand(3), "image": torch.rand(3, 1, 4, 4)}
    out = Masking()(batch, generator())
    assert out["weight"] is batch["weight"]
    assert out["image"] is batch["image"]


def test_nothing_is_masked_by_masks_of_no_width():
    batch = {"input_values": torch.randn(3, 40, 20)}
    assert torch.equal(Masking(0, 0)(batch, generator())["input_values"], batch["input_values"])


def test_the_published_fill_is_zero_before_normalisation():
    published = (0 - -6.6268077) / (2 * 5.358466)
    assert Masking().fill == pytest.approx(published, abs=5e-4)
