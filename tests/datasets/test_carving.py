"""Splits by content: stable, stratified on average, groups and copies together."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_ensemble.errors import DataError
from lora_ensemble.sources.carving import SHARES, carved, digest, joined
from lora_ensemble.sources.classes import classes_of, plain_label

KEYS = st.lists(st.integers(0, 30), min_size=1, max_size=80)


def split_of(keys: list[str], labels: list[int], seed: int = 0) -> list[str]:
    parts = carved(keys, np.array(labels), SHARES, seed)
    found = {row: part for part, rows in parts.items() for row in rows.tolist()}
    assert sorted(found) == list(range(len(keys)))
    return [found[row] for row in range(len(keys))]


@given(KEYS, st.integers(0, 3))
def test_a_key_is_in_one_split_and_every_class_is_learnt(numbers, seed):
    keys, labels = [str(n) for n in numbers], [n % 4 for n in numbers]
    parts = split_of(keys, labels, seed)
    assert len(set(zip(keys, parts, strict=True))) == len(set(keys))
    assert {label for label, part in zip(labels, parts, strict=True) if part == "train"} == set(labels)


@given(st.integers(100, 300), st.integers(0, 100))
def test_new_rows_move_no_old_one(number, more):
    keys = [digest([str(n)]) for n in range(number + more)]
    labels = [n % 3 for n in range(number + more)]
    assert split_of(keys, labels)[:number] == split_of(keys[:number], labels[:number])


def test_shares_hold_in_every_class():
    keys, labels = [digest([str(n)]) for n in range(30_000)], [n % 3 for n in range(30_000)]
    parts = split_of(keys, labels)
    for label in range(3):
        for part, share in SHARES.items():
            found = sum(p == part for p, one in zip(parts, labels, strict=True) if one == label)
            assert abs(found - 10_000 * share) < 5 * (10_000 * share * (1 - share)) ** 0.5
    assert split_of(keys, labels, seed=1) != parts


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("uvwxyz")), max_size=12))
def test_groups_and_copies_hang_together(pairs):
    groups, content = [g for g, _ in pairs], [c for _, c in pairs]
    keys = joined(groups, content)
    together = {frozenset({i}) for i in range(len(pairs))}  # the slow twin: merge sets until nothing changes
    changed = True
    while changed:
        changed = False
        for one, other in combinations(together, 2):
            if any(groups[i] == groups[j] or content[i] == content[j] for i in one for j in other):
                together = (together - {one, other}) | {one | other}
                changed = True
                break
    assert {frozenset(i for i, k in enumerate(keys) if k == key) for key in keys} == together


def test_digests_tell_where_parts_end():
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest([b"ab"]) == digest(["ab"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(1, "1"), (1.0, "1"), ("1.0", "1"), (" cat ", "cat"), ("", None), (None, None), (float("nan"), None)],
        *[(True, "True"), ("007", "007"), (1.5, "1.5"), ("1e400", "1e400"), ("None", "None")],
    ],
)
def test_labels_as_text(value, expected):
    assert plain_label(value) == expected


def test_classes_are_in_order():
    assert classes_of(["10", "9", "-1", None], "t") == ["-1", "9", "10"]
    assert classes_of(["b", "a", "10"], "t") == ["10", "a", "b"]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([], "t has no class: expected at least two"),
        ([None, None], "t has no class"),
        (["cat"] * 9, "t has one class alone, 'cat'"),
        (["0.5", "1"], "t: labels such as '0.5' are numbers with a fraction"),
        ([f"row {i}" for i in range(100)], "t: 100 different labels in 100 rows .*: these are no classes"),
    ],
)
def test_what_is_no_class(labels, said):
    with pytest.raises(DataError, match=said):
        classes_of(labels, "t")
