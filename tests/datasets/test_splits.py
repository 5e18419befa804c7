"""Splits follow from names and labels alone, keep groups whole and classes in their shares."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lora_ensemble.sources.splits import carve

SHARES = {"test": 0.2, "validation": 0.1, "train": 0.7}
EXAMPLES = st.lists(st.tuples(st.integers(0, 20).map("lesion {}".format), st.integers(0, 3)), min_size=1, max_size=60)
SEEDS = st.integers(0, 2**32 - 1)


@given(EXAMPLES, SEEDS)
def test_every_row_is_in_one_split_with_its_whole_group(examples, seed):
    groups, labels = zip(*examples, strict=True)
    splits = carve(groups, np.array(labels), SHARES, seed)
    assert sorted(np.concatenate(list(splits.values()))) == list(range(len(groups)))
    of_split = [{groups[row] for row in rows} for rows in splits.values()]
    assert sum(map(len, of_split)) == len(set(groups))
    assert all(list(rows) == sorted(rows) for rows in splits.values())


@given(EXAMPLES, SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(examples, seed, random):
    groups, labels = zip(*examples, strict=True)
    splits = carve(groups, np.array(labels), SHARES, seed)
    order = list(range(len(groups)))
    random.shuffle(order)
    shuffled = carve([groups[i] for i in order], np.array(labels)[order], SHARES, seed)
    for split, rows in splits.items():
        assert {groups[row] for row in rows} == {groups[order[row]] for row in shuffled[split]}


@given(EXAMPLES, SEEDS)
def test_every_label_of_a_group_is_learnt(examples, seed):
    groups, labels = zip(*examples, strict=True)
    of_group = {group: min(label for other, label in examples if other == group) for group in groups}
    rows = carve(groups, np.array(labels), SHARES, seed)["train"]
    assert {of_group[groups[row]] for row in rows} == set(of_group.values())


def test_classes_keep_their_shares():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    splits = carve([f"{i:04d}" for i in range(1000)], labels, SHARES, seed=3)
    for split, rows in splits.items():
        expected = np.array([600, 300, 100]) * SHARES[split]
        np.testing.assert_allclose(np.bincount(labels[rows]), expected, atol=2)


def test_another_seed_gives_other_splits():
    names, labels = [f"{i:03d}" for i in range(100)], np.arange(100) % 5
    one, other = (set(carve(names, labels, SHARES, seed)["test"]) for seed in (0, 1))
    assert one != other
