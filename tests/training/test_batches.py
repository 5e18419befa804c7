"""Which rows make a batch where they are grouped by length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.methods.single_lora import SingleLora
from lora_ensemble.training import order
from lora_ensemble.training.checkpoints import checkpoints
from lora_ensemble.training.fitting import fit
from lora_ensemble.training.options import Training
from lora_ensemble.training.order import MemberBatches


def lengths_of(size: int) -> list[int]:
    return np.random.default_rng(0).integers(5, 200, size).tolist()


def epoch(sampler: MemberBatches, number: int) -> list[list[int]]:
    sampler.epoch = number
    return list(sampler)


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 300), batch=st.integers(1, 9), number=st.integers(0, 3), members=st.integers(0, 3))
def test_every_row_once_and_the_smaller_batch_last(size: int, batch: int, number: int, members: int) -> None:
    who = range(members) if members else None
    rows = epoch(MemberBatches(size, batch, 3, who, lengths=lengths_of(size)), number)
    each = max(members, 1)
    assert [len(b) for b in rows[:-1]] == [each * batch] * (len(rows) - 1)
    for m in range(each):
        own = [row for b in rows for row in b[m * len(b) // each : (m + 1) * len(b) // each]]
        assert sorted(own) == list(range(size))


def test_a_batch_has_like_lengths_and_an_epoch_has_them_in_any_order() -> None:
    lengths = lengths_of(1000)
    grouped = epoch(MemberBatches(1000, 8, 0, lengths=lengths), 0)
    spread = [max(lengths[r] for r in b) - min(lengths[r] for r in b) for b in grouped]
    assert np.median(spread) <= 5 < np.median([np.ptp(lengths_of(8))])
    means = [np.mean([lengths[r] for r in b]) for b in grouped]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_composition_follows_from_seed_member_and_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "_POOL", 4)
    lengths = lengths_of(100)

    def made(seed: int = 0, members: range | None = None, number: int = 0) -> list[list[int]]:
        return epoch(MemberBatches(100, 8, seed, members, lengths=lengths), number)

    assert made() == made() != made(number=1) != made(seed=1)
    three = made(members=range(3))
    for m in range(3):
        alone = made(members=range(m, m + 1))
        assert alone == [b[m * len(b) // 3 : (m + 1) * len(b) // 3] for b in three]
    parts = np.array([[np.mean([lengths[r] for r in b[m * 8 : m * 8 + 8]]) for m in range(3)] for b in three[:-1]])
    assert np.corrcoef(parts.T).min() > 0.8  # members have like lengths at the same time
    shares = [list(MemberBatches(100, 8, 0, None, rank, 2, lengths=lengths)) for rank in range(2)]
    assert [a + b for a, b in zip(*shares, strict=True)] == made()


def test_is_no_option_for_a_fixed_order() -> None:
    assert Training(group_by_length=True).problems() == []
    assert any("group_by_length" in p for p in Training(group_by_length=True, data_order="fixed").problems())


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 100), batch=st.integers(1, 9), most=st.integers(1, 30), members=st.integers(0, 2))
def test_an_epoch_that_ends_early_is_the_beginning_of_the_whole_one(
    size: int, batch: int, most: int, members: int
) -> None:
    who = range(members) if members else None
    whole, part = MemberBatches(size, batch, 3, who), MemberBatches(size, batch, 3, who, most=most)
    for number in (0, 1):
        assert epoch(part, number) == epoch(whole, number)[:most]
    assert len(part) == len(epoch(part, 0))
    assert part.rows * max(members, 1) == sum(map(len, part))


def test_training_ends_its_epochs_after_so_many_batches(tmp_path: Path) -> None:
    training = Training(epochs=3, batch_size=4, batches_per_epoch=2, device="cpu", save="epoch")
    backbone = DigitsViT().load(10)
    ensemble = SingleLora(r=2).build(backbone, 0)
    assert fit(ensemble, Digits().load("train"), backbone, training, seed=0, folder=tmp_path).steps == 6
    assert [(c.step, c.epochs) for c in checkpoints(tmp_path / "checkpoints")] == [(2, 1), (4, 2), (6, 3)]
    assert Training(batches_per_epoch=0).problems() == ["training.batches_per_epoch = 0: must be at least 1"]
