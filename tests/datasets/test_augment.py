"""Flips and rotations are what torchvision does to one image at a time, and as random as they should be."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms import functional as V
from torchvision.transforms.functional import InterpolationMode

from lora_ensemble.images.augment import FlipAndRotate, augmentation, rotated

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def smooth(height: int, width: int, number: int = 1) -> Tensor:
    """Waves and a slope, (number, 3, height, width), in units of the height."""
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / height, indexing="ij")
    waves = torch.stack([torch.sin(5 * x + y), torch.cos(4 * y - x), x + 2 * y])
    return torch.stack([waves * (1 + i) for i in range(number)])


def augmented(images: Tensor, seed: int = 0, **fields) -> Tensor:
    generator = torch.Generator(images.device).manual_seed(seed)
    return FlipAndRotate(**fields)({"pixel_values": images}, generator)["pixel_values"]


def test_an_image_is_flipped_in_one_of_four_ways_each_as_often():
    (image,) = smooth(5, 7)
    ways = [image, image.flip(-1), image.flip(-2), image.flip(-1, -2)]
    out = augmented(image.expand(2000, -1, -1, -1), rotate=False)
    seen = torch.stack([(out == way).flatten(1).all(1) for way in ways])
    assert bool((seen.sum(0) == 1).all())
    # Four standard deviations of a binomial count.
    torch.testing.assert_close(seen.sum(1).double(), torch.full((4,), 500.0).double(), rtol=0, atol=4 * 375**0.5)


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 137.5, 180.0])
def test_rotation_is_torchvisions(degrees):
    images = smooth(24, 24, 2)
    ours = rotated(images, torch.full((2,), math.radians(degrees)))
    theirs = V.rotate(images, degrees, InterpolationMode.BILINEAR)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("degrees", [20.0, 90.0, 160.0])
def test_rotation_after_resizing_is_that_of_the_undistorted_image(degrees):
    image = smooth(90, 120)
    before = V.resize(V.rotate(image, degrees, InterpolationMode.BILINEAR), [96, 96], antialias=True)
    after = rotated(V.resize(image, [96, 96], antialias=True), torch.tensor([math.radians(degrees)]), aspect=4 / 3)
    # Within the circle that no angle moves out of the image; at its edge the two interpolate differently.
    y, x = torch.meshgrid(torch.arange(96) - 47.5, torch.arange(96) - 47.5, indexing="ij")
    inside = (x * 4 / 3) ** 2 + y**2 < 44**2
    torch.testing.assert_close(after[..., inside], before[..., inside], rtol=0, atol=0.03)


@pytest.mark.parametrize("device", DEVICES)
def test_angles_are_uniform_over_half_a_turn(device):
    side, number = 33, 1500
    images = torch.zeros(number, 1, side, side, device=device)
    images[:, :, 15:18, 26:29] = 1.0  # to the right of the centre
    out = augmented(images, flip=False)[:, 0]
    y, x = torch.meshgrid(torch.arange(side) - 16.0, torch.arange(side) - 16.0, indexing="ij")
    centre = [(out * axis.to(out)).sum((1, 2)) / out.sum((1, 2)) for axis in (-y, x)]
    turns = torch.atan2(*centre).div(math.pi).cpu().sort().values
    assert turns.min() > -0.01
    assert turns.max() < 1.01
    uniform = torch.arange(number) / number
    assert (turns - uniform).abs().max() < 1.95 / number**0.5  # Kolmogorov-Smirnov at 0.001


@pytest.mark.parametrize("device", DEVICES)
def test_the_generator_decides(device):
    images = smooth(8, 8, 6).to(device)
    assert torch.equal(augmented(images, seed=1), augmented(images, seed=1))
    assert not torch.equal(augmented(images, seed=1), augmented(images, seed=2))


def test_what_is_no_image_stays():
    batch = {"pixel_values": smooth(8, 8, 3), "weight": torch.rand(3), "tokens": torch.arange(6).view(3, 2)}
    out = FlipAndRotate()(batch, torch.Generator().manual_seed(0))
    assert out["weight"] is batch["weight"]
    assert out["tokens"] is batch["tokens"]
    assert out["pixel_values"].shape == batch["pixel_values"].shape


def test_the_field_says_which():
    assert augmentation(()) is None
    assert augmentation(("rotate",), aspect=2.0) == FlipAndRotate(flip=False, rotate=True, aspect=2.0)
