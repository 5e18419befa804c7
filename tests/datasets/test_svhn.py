"""SVHN is the same from every form, with labels where there are some."""

from __future__ import annotations

import numpy as np
import pytest
from image_sources import pictures, write_parquet
from scipy.io import savemat

from lora_ensemble.datasets.svhn import Svhn
from lora_ensemble.errors import DataError, UnknownNameError

pytestmark = pytest.mark.usefixtures("cache")

IMAGES, LABELS = pictures(12), np.arange(12) % 10


def test_every_form_gives_the_same_split(tmp_path):
    (tmp_path / "original").mkdir()
    columns = {"X": IMAGES.transpose(1, 2, 3, 0), "y": np.where(LABELS == 0, 10, LABELS)[:, None].astype(np.uint8)}
    savemat(tmp_path / "original" / "test_32x32.mat", columns)
    write_parquet(tmp_path / "flat" / "test.parquet", IMAGES[::-1], "image", label=LABELS[::-1].tolist())
    write_parquet(tmp_path / "bare" / "test.parquet", IMAGES, "image", number=LABELS.tolist())
    write_parquet(tmp_path / "hub" / "cropped_digits" / "test-0.parquet", IMAGES, "image", label=LABELS.tolist())
    write_parquet(tmp_path / "hub" / "full_numbers" / "test-0.parquet", IMAGES[:3], "image", label=LABELS[:3].tolist())
    original, *others = (Svhn(str(tmp_path / form)).load("test") for form in ("original", "flat", "hub", "bare"))
    label_of = {image.tobytes(): label for image, label in zip(IMAGES, LABELS, strict=True)}
    assert [label_of[example["image"].tobytes()] for example in original.examples] == original.labels.tolist()
    for other in others:
        assert other.ids == original.ids
        assert [e["image"].tobytes() for e in other.examples] == [e["image"].tobytes() for e in original.examples]
    for other in others[:-1]:
        np.testing.assert_array_equal(other.labels, original.labels)
    assert others[-1].labels is None


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"no copy of it in this folder \(no parquet files of the split test\)"):
        Svhn(str(tmp_path)).load("test")
    (tmp_path / "test_32x32.mat").write_bytes(b"no such file")
    with pytest.raises(DataError, match=r"test_32x32\.mat cannot be read"):
        Svhn(str(tmp_path)).load("test")
    with pytest.raises(UnknownNameError, match="Available: test"):
        Svhn().load("train")
