"""Which rows make the batches of an epoch, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from lora_ensemble.randomness import generator

_POOL = 50  # batches whose rows are sorted by length together


class MemberBatches(Sampler[list[int]]):
    """Row numbers of the batches of an epoch; the same for the same seed and `epoch`, which the training sets. Rising
    where they are not shuffled. lengths: of the rows, of which batches then get like ones (see `_grouped`).

    members: None, one order for all; otherwise member m shuffles by (seed, m, epoch), and a batch holds the rows of
    each member, one member after another. Of `world` processes, process `rank` gets its share of every batch; where a
    batch does not divide, its first rows are taken twice, so that all shares are equal. most: batches of an epoch, if
    there are more.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        members: range | None = None,
        rank: int = 0,
        world: int = 1,
        shuffled: bool = True,
        lengths: Sequence[int] | None = None,
        most: int | None = None,
    ):
        self.size, self.batch_size, self.seed, self.members = size, batch_size, seed, members
        self.rank, self.world, self.shuffled, self.lengths = rank, world, shuffled, lengths
        self.most = most
        self.epoch = 0
        self.first = 0
        """Batches of the epoch that are left out, because they were done before."""

    def __len__(self) -> int:
        whole = -(-self.size // self.batch_size)
        return whole if self.most is None else min(whole, self.most)

    @property
    def rows(self) -> int:
        """How many rows of each member an epoch has."""
        return min(self.size, len(self) * self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        who: list[int | str] = ["all"] if self.members is None else list(self.members)
        orders = [self._order(m) for m in who]
        for start in range(self.first * self.batch_size, self.rows, self.batch_size):
            yield [row for order in orders for row in self._share(order[start : start + self.batch_size])]

    def _order(self, member: int | str) -> list[int]:
        if not self.shuffled:
            return list(range(self.size))
        order = torch.randperm(self.size, generator=generator(self.seed, "order", member, self.epoch)).tolist()
        return order if self.lengths is None else self._grouped(order, self.lengths)

    def _grouped(self, order: list[int], lengths: Sequence[int]) -> list[int]:
        """The same rows, sorted by length within pools of `_POOL` batches; then the batches of a pool are shuffled, by
        (seed, epoch) alone, so that members with orders of their own have batches of like lengths at the same time. A
        last, smaller batch stays the last, of rows of any length."""
        size = self.batch_size
        whole = len(order) // size * size
        grouped: list[int] = []
        for start in range(0, whole, _POOL * size):
            pool = sorted(order[start : min(start + _POOL * size, whole)], key=lambda row: lengths[row])
            which = torch.randperm(len(pool) // size, generator=generator(self.seed, "pool", self.epoch, start))
            grouped += [row for i in which.tolist() for row in pool[i * size : (i + 1) * size]]
        return grouped + order[whole:]

    def _share(self, rows: list[int]) -> list[int]:
        each = -(-len(rows) // self.world)
        return [rows[i % len(rows)] for i in range(self.rank * each, (self.rank + 1) * each)]
