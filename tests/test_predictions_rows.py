"""Predictions.concat_rows: the test folds of a cross-validation as one set."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions

CLASSES = 3


def drawn(rows: int, members: int = 2, seed: int = 0, **meta: object) -> Predictions:
    """Random predictions with labels and ids."""
    generator = torch.Generator().manual_seed(seed)
    logits_MBC = torch.randn(members, rows, CLASSES, generator=generator)
    labels_B = torch.randint(CLASSES, (rows,), generator=generator)
    return Predictions(logits_MBC, labels_B, [f"{seed}/{b}" for b in range(rows)], meta)


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5), members=st.integers(1, 3))
def test_rows_come_back_part_after_part(sizes: list[int], members: int) -> None:
    whole = drawn(sum(sizes), members)
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    parts = [whole.rows(slice(start, start + size)) for start, size in zip(starts, sizes, strict=True)]
    joined = Predictions.concat_rows(parts)
    assert torch.equal(joined.logits_MBC, whole.logits_MBC)
    assert joined.ids == whole.ids
    assert joined.labels_B is not None
    assert whole.labels_B is not None
    assert torch.equal(joined.labels_B, whole.labels_B)


def test_what_all_agree_on_is_kept() -> None:
    parts = [drawn(3, seed=k, classes=list("abc"), fold=k, seed_of_training=7) for k in range(3)]
    assert Predictions.concat_rows(parts).meta == {"classes": list("abc"), "seed_of_training": 7}


def test_rows_without_labels_and_ids() -> None:
    bare = [Predictions(p.logits_MBC) for p in (drawn(2), drawn(3, seed=1))]
    joined = Predictions.concat_rows(bare)
    assert (len(joined), joined.labels_B, joined.ids) == (5, None, None)


def test_parts_that_do_not_fit() -> None:
    first, second = drawn(2), drawn(3, seed=1)
    two_classes = Predictions(torch.zeros(2, 3, 2))
    refused = {
        "there are no predictions": [],
        "part 1 has 1 members, part 0 has 2": [first, second.members([0])],
        "part 1 has 2 classes, part 0 has 3": [first, two_classes],
        "part 0 has no labels, but others have": [Predictions(first.logits_MBC, ids=first.ids), second],
        "part 1 has no ids, but others have": [first, Predictions(second.logits_MBC, second.labels_B)],
        "id '0/1' occurs more than once": [first, second, first.rows([1])],
        "part 1 has class 'c' where part 0 has 'b'": [
            drawn(2, classes=list("abc")),
            drawn(2, 2, 1, classes=list("acb")),
        ],
    }
    for message, parts in refused.items():
        with pytest.raises(DataError, match=message):
            Predictions.concat_rows(parts)
