"""CIFAR is the same from every form; what is missing or dangerous is named."""

from __future__ import annotations

import dataclasses
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from image_sources import pictures, png, write_parquet, write_pickle

from lora_ensemble import Experiment, Training, train
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.datasets.cifar10 import Cifar10
from lora_ensemble.datasets.cifar100 import Cifar100
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.methods.lora import Lora

pytestmark = pytest.mark.usefixtures("cache")

TRAIN, TEST = pictures(100, seed=1), pictures(30, seed=2)
TRAIN[97:] = TRAIN[:3]  # three images come twice
TRAIN_LABELS, TEST_LABELS = np.arange(100) % 10, np.arange(30) % 10


def pickled(folder: Path) -> Path:
    for i in range(5):
        part = slice(20 * i, 20 * i + 20)
        write_pickle(folder / f"data_batch_{i + 1}", TRAIN[part], TRAIN_LABELS[part], "labels")
    write_pickle(folder / "test_batch", TEST, TEST_LABELS, "labels")
    return folder


def hub(folder: Path, order: np.ndarray, test: str, *train: str) -> Path:
    """The training images in another order, in one file or several."""
    for file, rows in zip(train, np.array_split(order, len(train)), strict=True):
        write_parquet(folder / file, TRAIN[rows], "img", label=TRAIN_LABELS[rows].tolist())
    write_parquet(folder / test, TEST[::-1], "img", label=TEST_LABELS[::-1].tolist())
    return folder


@pytest.fixture
def forms(tmp_path) -> list[Path]:
    shards = "plain_text/train-00000-of-00002.parquet", "plain_text/train-00001-of-00002.parquet"
    pickled(tmp_path / "archive" / "cifar-10-batches-py")
    return [
        pickled(tmp_path / "batches"),
        tmp_path / "archive",
        hub(tmp_path / "flat", np.arange(100), "test.parquet", "train.parquet"),
        hub(tmp_path / "hub", np.random.default_rng(0).permutation(100), "plain_text/test-0.parquet", *shards),
    ]


@pytest.mark.parametrize("protocol", ["validation", "published"])
def test_every_form_gives_the_same_splits(forms, protocol):
    first, *others = [Cifar10(str(folder), protocol=protocol, split_seed=4) for folder in forms]
    for name in first.splits:
        split = first.load(name)
        images = np.stack([example["image"] for example in split.examples])
        for other in others:
            again = other.load(name)
            assert again.ids == split.ids
            np.testing.assert_array_equal(again.labels, split.labels)
            np.testing.assert_array_equal(np.stack([example["image"] for example in again.examples]), images)


def test_images_keep_their_labels(forms):
    label_of = {image.tobytes(): label for image, label in zip(TEST, TEST_LABELS, strict=True)}
    split = Cifar10(str(forms[0])).load("test")
    for example, label in zip(split.examples, split.labels, strict=True):
        assert label_of.pop(example["image"].tobytes()) == label
    assert not label_of


def test_a_tenth_is_held_out_and_copies_stay_together(forms):
    train, validation = (Cifar10(str(forms[0])).load(split) for split in ("train", "validation"))
    seen = [{example["image"].tobytes() for example in split.examples} for split in (train, validation)]
    assert seen[0].isdisjoint(seen[1])
    assert len(seen[1]) == 10
    assert len(train) + len(validation) == 100
    assert len({*train.ids, *validation.ids}) == 100


def test_published_trains_on_all_without_validation(forms):
    data = Cifar10(str(forms[0]), protocol="published")
    assert data.splits == ("train", "test")
    assert len(data.load("train")) == 100
    with pytest.raises(UnknownNameError, match=r"unknown split of cifar10 'validation'\. Available: test, train"):
        data.load("validation")


def test_only_training_images_are_augmented(forms):
    data = Cifar10(str(forms[0]))
    assert [data.load(split).augment is not None for split in data.splits] == [True, False, False]
    assert dataclasses.replace(data, augmentation=()).load("train").augment is None


@pytest.mark.parametrize("data_order", ["shared", "independent"])
def test_an_ensemble_is_trained_on_augmented_images(forms, tmp_path, data_order):
    budget = Training(max_steps=2, batch_size=8, device="cpu", data_order=data_order)
    ids = Cifar10(str(forms[0])).load("test").ids
    logits = []
    for augmentation in (("flip", "rotate"), ()):
        data = Cifar10(str(forms[0]), augmentation=augmentation)
        run = train(Experiment(DigitsViT(), Lora(members=2), data, budget), tmp_path / f"run {augmentation}")
        predictions = run.predict("test")
        assert list(predictions.ids) == ids
        np.testing.assert_array_equal(np.sort(predictions.labels_B), np.sort(TEST_LABELS))
        logits.append(predictions.logits_MBC)
    assert logits[0].shape == (2, 30, 10)
    assert not logits[0].equal(logits[1])


def test_cifar100_has_its_own_keys_and_columns(tmp_path):
    labels = np.arange(100)
    for part in ("train", "test"):
        write_pickle(tmp_path / "a" / "cifar-100-python" / part, TRAIN, labels, "fine_labels", protocol=4)
        columns = {"fine_label": labels.tolist(), "coarse_label": (labels // 5).tolist()}
        write_parquet(tmp_path / "b" / f"{part}.parquet", TRAIN, "img", **columns)
    for split in Cifar100().splits:
        one, other = (Cifar100(str(tmp_path / form)).load(split) for form in "ab")
        assert one.ids == other.ids
        np.testing.assert_array_equal(one.labels, other.labels)
        assert len(one.classes) == 100


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Command:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "victim"),)

    folder = pickled(tmp_path / "batches")
    (folder / "data_batch_3").write_bytes(pickle.dumps({b"data": Command(), b"labels": []}))
    with pytest.raises(DataError, match=r"data_batch_3 is refused: reading it would run \w+\.mkdir"):
        Cifar10(str(folder)).load("train")
    assert not (tmp_path / "victim").exists()


def test_missing_batches_are_listed(tmp_path):
    folder = pickled(tmp_path / "batches")
    (folder / "data_batch_2").unlink()
    (folder / "data_batch_5").unlink()
    with pytest.raises(DataError, match=r"missing in .*batches: data_batch_2, data_batch_5$"):
        Cifar10(str(folder)).load("train")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, "expected 'labels', one for each of 2 images"),
        ({b"data": np.zeros((2, 1024), np.uint8), b"labels": [1, 2]}, r"expected 'data', uint8 \(N, 3072\)"),
        ({b"data": np.zeros((2, 3072), np.int64), b"labels": [1, 2]}, r"expected 'data', uint8 \(N, 3072\)"),
        ({b"labels": [1, 2]}, r"expected 'data', uint8 \(N, 3072\)"),
    ],
)
def test_a_pickle_of_something_else_is_refused(tmp_path, values, message):
    folder = pickled(tmp_path / "batches")
    (folder / "test_batch").write_bytes(pickle.dumps(values))
    with pytest.raises(DataError, match=message):
        Cifar10(str(folder)).load("test")


def test_unreadable_images_are_listed(tmp_path):
    images = [png(image) for image in TEST]
    images[4] = images[4][:-40]
    images[20] = b"no image"
    write_parquet(tmp_path / "test.parquet", images, "img", label=TEST_LABELS.tolist())
    with pytest.raises(DataError, match=r"2 of 30 images of cifar10 .*: row 4 of test cannot .*row 20 of test cannot"):
        Cifar10(str(tmp_path)).load("test")


def test_images_of_another_size_are_resized_and_said(tmp_path):
    images = [*TEST[:-1], pictures(1, shape=(64, 48))[0]]
    write_parquet(tmp_path / "test.parquet", images, "img", label=TEST_LABELS.tolist())
    with pytest.warns(UserWarning, match=r"resized to 32 x 32 from 64 x 48 \(1\)"):
        split = Cifar10(str(tmp_path)).load("test")
    assert {example["image"].shape for example in split.examples} == {(32, 32, 3)}


def test_data_without_the_labels_or_the_images(tmp_path):
    write_parquet(tmp_path / "a" / "test.parquet", TEST, "img", coarse_label=TEST_LABELS.tolist())
    with pytest.raises(DataError, match="no column 'label' in the split test"):
        Cifar10(str(tmp_path / "a")).load("test")
    write_parquet(tmp_path / "b" / "test.parquet", TEST, "photo", label=TEST_LABELS.tolist())
    with pytest.raises(DataError, match="has no column 'img' or 'image', only photo, label"):
        Cifar10(str(tmp_path / "b")).load("test")


def test_data_that_are_nowhere(tmp_path):
    with pytest.raises(DataError, match=r"no cifar10 in this folder; expected cifar-10-batches-py or parquet"):
        Cifar10(str(tmp_path)).load("train")
    with pytest.raises(DataError, match=r"data = '/nowhere/at/all': expected a folder that exists, or a hub id"):
        Cifar10("/nowhere/at/all").load("train")
    with pytest.raises(DataError, match=r"data = 'nobody/nothing': not on the hub, or the hub is out of reach"):
        Cifar10("nobody/nothing").load("train")


@pytest.mark.data
def test_the_real_parquet_and_pickles_of_cifar100_are_one(data_dir, tmp_path):
    for part in ("train", "test"):
        (tmp_path / f"{part}.parquet").symlink_to(data_dir / "cifar100" / f"{part}.parquet")
    parquet, pickles = Cifar100(str(tmp_path)), Cifar100(str(data_dir / "cifar100" / "cifar-100-python"))
    for split, size in {"train": 1005, "validation": 112, "test": 916}.items():
        one, other = parquet.load(split), pickles.load(split)
        assert len(one) == size
        assert one.ids == other.ids
        np.testing.assert_array_equal(one.labels, other.labels)
