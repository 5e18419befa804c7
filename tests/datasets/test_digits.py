"""The digits are scikit-learn's, split once, in classes' shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from lora_ensemble.datasets.digits import Digits, stratified_order
from lora_ensemble.errors import DataError, UnknownNameError


def test_images_and_labels_are_those_of_the_scans_named_by_the_ids():
    scans = load_digits()
    split = Digits().load("test")
    rows = [int(name.removeprefix("digits/")) for name in split.ids]
    images = np.stack([example["image"] for example in split.examples])
    np.testing.assert_array_equal(np.round(images * (16 / 255)), scans.images[rows])
    np.testing.assert_array_equal(split.labels, scans.target[rows])
    assert images.max() == 255


def test_sizes():
    data = Digits(train_examples=123)
    assert [len(data.load(split)) for split in data.splits] == [123, 197, 800]


def test_a_second_load_gives_the_same_splits():
    for split in Digits().splits:
        assert Digits().load(split).ids == Digits().load(split).ids


def test_other_splits_do_not_depend_on_the_number_of_training_examples():
    few, many = Digits(train_examples=20), Digits(train_examples=800)
    for split in ("validation", "test"):
        assert few.load(split).ids == many.load(split).ids
    assert few.load("train").ids == many.load("train").ids[:20]


def test_the_seed_of_the_split_moves_every_split():
    for split in Digits().splits:
        assert set(Digits(split_seed=1).load(split).ids) != set(Digits().load(split).ids)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_every_beginning_of_the_order_has_the_classes_shares(labels, seed):
    labels_N = np.array(labels)
    order = stratified_order(labels_N, seed)
    assert sorted(order) == list(range(len(labels_N)))
    present = np.unique(labels_N)
    for label in present:
        share = np.mean(labels_N == label)
        count = np.cumsum(labels_N[order] == label)
        expected = share * np.arange(1, len(labels_N) + 1)
        # A class is within one of its share at every place; what all classes are off by is shared out.
        assert np.all(np.abs(count - expected) <= 1 + len(present) * share)


def test_an_impossible_number_of_training_examples_is_refused():
    for number in (0, 801):
        with pytest.raises(DataError, match=f"train_examples = {number}: must be 10 to 800"):
            Digits(train_examples=number).load("train")


def test_an_unknown_split_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match=r"'validaton'.*Did you mean 'validation'"):
        Digits().load("validaton")
