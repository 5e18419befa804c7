"""Corruptions of images against imagecorruptions-imaug, whose numbers scripts/make_corruption_reference.py wrote."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from lora_ensemble import registry
from lora_ensemble.images.blurring import blurred, disc, gaussian, trail
from lora_ensemble.images.jpeg import compressed
from lora_ensemble.randomness import generator
from tolerance import close

HERE = Path(__file__).parent
REFERENCE = json.loads((HERE / "corruption_reference.json").read_text(encoding="utf-8"))
OURS = {"jpeg_compression": "jpeg", "elastic_transform": "elastic"}
CUT = 0.5
"""Levels: the other library cuts off what is behind the point, this one rounds."""
NEAR = {
    "defocus_blur": 2.6,
    "zoom_blur": 2.5,
    "brightness": 1.1,
    "contrast": 0.9,
    "pixelate": 1.3,
    "jpeg_compression": 6,
}
"""Levels by which the mean of a block may differ. Defocus: the other library widens its disc to whole pixels and
mirrors at the edge; zoom: it rounds sizes to whole pixels; JPEG: it is written by an encoder, whose colours are
upsampled otherwise."""
DRAWN = {"glass_blur": 0.2, "fog": 0.12}
"""Share by which what changes may differ, where it is not 5 %: glass is drawn otherwise (see the shift), clouds are few
large things in each draw."""


def script() -> ModuleType:
    path = HERE.parents[1] / "scripts" / "make_corruption_reference.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def corrupted(name: str, severity: int, image: np.ndarray, seed: int = 0) -> np.ndarray:
    shift = registry.config_class("shifts", OURS.get(name, name.replace("_", "-")))(severity=severity)
    found: np.ndarray = shift.shifted({"image": image}, generator(seed))["image"]
    return found.astype(float)


@pytest.mark.parametrize("name", REFERENCE["exact"])
def test_without_random_numbers_it_is_the_same(name: str) -> None:
    made_by = script()
    image = made_by.picture()
    reference = REFERENCE["exact"][name]
    for severity in range(1, 6):
        made = corrupted(name, severity, image)
        theirs = np.array(reference["blocks"][severity - 1])
        ours = np.array(made_by.blocks(made))
        assert np.abs(ours - theirs).mean() < CUT + 0.5
        assert np.abs(ours - theirs).max() < NEAR[name]
        changed = np.abs(made - image).mean()
        assert abs(changed - reference["changed"][severity - 1]) < 0.1 * changed + 0.5


@pytest.mark.parametrize("name", REFERENCE["drawn"])
def test_with_random_numbers_it_changes_as_much(name: str) -> None:
    image = script().picture()
    for severity in range(1, 6):
        made = np.stack([corrupted(name, severity, image, seed) for seed in range(8)])
        mean, change = REFERENCE["drawn"][name][severity - 1]
        assert abs(made.mean() - mean) < (6 if name == "fog" else 2)
        ours = float(np.sqrt(((made - image) ** 2).mean()))
        assert abs(ours - change) < DRAWN.get(name, 0.05) * change


def test_a_blur_is_a_mean() -> None:
    """A constant stays, a point keeps its mass, and its spread is that of the kernel."""
    flat = torch.full((3, 20, 30), 0.3)
    for offsets, weights in (disc(2.3), trail(6.0, 3.0, 30.0, 7)):
        close(blurred(flat, offsets, weights), flat, depth=8)
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 1
    made = blurred(point, *disc(6.0))[0].double()
    away = torch.cartesian_prod(*[torch.arange(41.0) - 20] * 2).square().sum(1).reshape(41, 41)
    assert float(made.sum()) == pytest.approx(1, abs=1e-5)
    # A disc of radius r has the second moment r^2 / 2; spreading over four neighbours adds 1/6 along each axis.
    assert float((made * away).sum()) == pytest.approx(18 + 1 / 3, rel=0.02)
    made = gaussian(point, 2.0)[0].double()
    assert float((made * away).sum()) == pytest.approx(8, rel=0.01)


def test_a_blurred_image_is_alike_at_every_size() -> None:
    """Corrupted and made smaller is made smaller and corrupted, but for what pixels are."""
    image = script().picture()
    shrunk = image.astype(float).reshape(56, 4, 56, 4, 3).mean((1, 3)).round().astype(np.uint8)
    for name in ("defocus_blur", "motion_blur", "zoom_blur"):
        large = corrupted(name, 5, image).reshape(56, 4, 56, 4, 3).mean((1, 3))
        inside = (slice(6, -6), slice(6, -6))
        assert np.abs(corrupted(name, 5, shrunk) - large)[inside].mean() < 2


def test_jpeg_of_high_quality_leaves_grey_as_it_is() -> None:
    image = torch.arange(256.0).reshape(1, 16, 16) / 255
    assert float((compressed(image, 100) - image).abs().max()) * 255 <= 1.5
    assert float((compressed(image, 5) - image).abs().mean()) * 255 > 2
