"""Images reach a model as Pillow and the formula would bring them there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lora_ensemble.errors import DataError
from lora_ensemble.images.inputs import ImageInputs

RGB = ImageInputs(size=(12, 10), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
GREY = ImageInputs(size=(12, 10), mean=(0.5,), std=(0.25,))


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth colour image with some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = np.stack([np.sin(7 * x), np.cos(5 * y), np.sin(6 * (x + y))], axis=-1)
    return (110 * (waves + 1) + rng.uniform(0, 30, (height, width, 3))).astype(np.uint8)


def test_normalisation_is_the_formula():
    image = photo(12, 10)
    (values,) = RGB.prepare(RGB.collate([{"image": image}])).values()
    expected = (image / 255 - np.array(RGB.mean)) / np.array(RGB.std)
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float32).permute(2, 0, 1)[None])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(40, 33), (7, 9)])
def test_resizing_is_pillows_to_a_grey_level(interpolation, shape):
    inputs = ImageInputs(size=(12, 10), mean=(0.0,) * 3, std=(1.0,) * 3, interpolation=interpolation)
    image = photo(*shape)
    (values,) = inputs.prepare(inputs.collate([{"image": image}])).values()
    pillow = Image.fromarray(image).resize((10, 12), Image.Resampling[interpolation.upper()])
    np.testing.assert_allclose(values[0].permute(1, 2, 0) * 255, np.asarray(pillow), atol=1.1)


def test_a_grey_image_is_repeated_for_a_colour_model():
    (image,) = RGB.collate([{"image": photo(5, 6)[..., 0]}])["image"]
    assert image.shape == (3, 5, 6)
    assert torch.equal(image[0], image[2])


def test_a_colour_image_becomes_grey_as_in_pillow():
    image = photo(9, 8)
    (grey,) = GREY.collate([{"image": image}])["image"]
    np.testing.assert_allclose(grey[0], np.asarray(Image.fromarray(image).convert("L")), atol=1)


def test_images_that_differ_in_size_share_a_batch():
    images = [{"image": photo(20, 31)}, {"image": photo(12, 10)}]
    batch = RGB.collate(images)
    assert batch["image"].shape == (2, 3, 12, 10)
    alone = [RGB.prepare(RGB.collate([image]))["pixel_values"] for image in images]
    assert torch.equal(RGB.prepare(batch)["pixel_values"], torch.cat(alone))  # no image depends on those beside it


def test_read_only_and_flipped_arrays_are_understood():
    image = np.asarray(Image.fromarray(photo(5, 6)))
    assert not image.flags.writeable
    straight, flipped = RGB.collate([{"image": image}, {"image": image[:, ::-1]}])["image"]
    assert torch.equal(straight.flip(-1), flipped)


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)])
def test_what_is_no_image_is_refused(image):
    with pytest.raises(DataError, match=r"expected uint8 \(H, W\) or \(H, W, 3\)"):
        RGB.collate([{"image": image}])
