"""Images are looked at before they are used: all problems are listed, conversions said once."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from image_sources import pictures, png
from PIL import Image

from lora_ensemble.errors import DataError
from lora_ensemble.images import decoding as _images
from lora_ensemble.images.decoding import checked


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("room", [1 << 30, 0], ids=["kept", "decoded when asked for"])
def test_pixels_are_those_that_were_stored(tmp_path, monkeypatch, room):
    monkeypatch.setattr(_images, "IN_MEMORY", room)
    images = pictures(70, shape=(5, 7))
    files = [tmp_path / f"{i}.png" for i in range(70)]
    for file, image in zip(files, images, strict=True):
        file.write_bytes(png(image))
    for stored in (files, [png(image) for image in images]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read = checked(stored, [str(i) for i in range(70)], "photos")
        np.testing.assert_array_equal([example["image"] for example in read], images)
        np.testing.assert_array_equal([example["image"] for example in read.take([3, 69])[1:]], images[69:])
        assert isinstance(read.stored[0], np.ndarray) == (room > 0)


def test_other_modes_and_sizes_are_converted_and_said_once():
    picture = Image.fromarray(pictures(1, shape=(8, 8))[0])
    stored = [encoded(picture.convert(mode)) for mode in ("RGB", "L", "RGBA", "L", "P")]
    stored.append(encoded(picture.resize((16, 12))))
    with pytest.warns(UserWarning, match="images of photos") as said:
        read = checked(stored, list("abcdef"), "photos", size=(8, 8))
    (message,) = (str(warning.message) for warning in said)
    assert message == (
        "images of photos: converted to RGB from L (2), RGBA (1), P (1); resized to 8 x 8 from 12 x 16 (1)"
    )
    assert {example["image"].shape for example in read} == {(8, 8, 3)}
    np.testing.assert_array_equal(read[1]["image"], np.asarray(picture.convert("L").convert("RGB")))


def test_sizes_that_differ_are_said_where_any_will_do():
    stored = [png(pictures(1, shape=shape)[0]) for shape in ((8, 8), (6, 8), (8, 8))]
    with pytest.warns(UserWarning, match=r"differ in height and width: 8 x 8 \(2\), 6 x 8 \(1\)$"):
        read = checked(stored, list("abc"), "photos")
    assert read[1]["image"].shape == (6, 8, 3)


def test_every_missing_and_unreadable_image_is_listed(tmp_path):
    images = [png(image) for image in pictures(200, shape=(4, 4))]
    stored = [tmp_path / f"{i}.png" for i in range(200)]
    for file, image in zip(stored, images, strict=True):
        file.write_bytes(image)
    stored[150].unlink()
    stored[3].write_bytes(images[3][:-30])
    stored[199].write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        checked(stored, [f"photo {i}" for i in range(200)], "photos")
    message = str(caught.value)
    assert message.startswith("3 of 200 images of photos cannot be used: photo 3 cannot be read (")
    assert "photo 150 is missing, photo 199 cannot be read (cannot identify image file" in message
    assert "\n" not in message
