"""Splits by content: what a row is decides where it goes, so that new rows move no old one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SHARES = {"test": 0.2, "validation": 0.1, "train": 0.7}
"""Of the rows, on average."""


def digest(parts: Iterable[str | bytes]) -> str:
    """16 hexadecimal digits of some content, where its parts begin and end included."""
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        found.update(len(content).to_bytes(8, "little"))
        found.update(content)
    return found.hexdigest()


def carved(
    keys_N: Sequence[str], labels_N: np.ndarray, shares: Mapping[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Row numbers of each split, rising. Rows of one key are in one split.

    keys_N: digests of the rows' content, or names of their groups. shares: the last one is for training. A key goes
    where its hash, with the seed, falls in 0 .. 1: in every class, each split has its share of the keys on average (of
    100 keys, 20 +- 4 for testing), and no row depends on any other. The one exception: of a class that would have
    nothing to train on, the key with the highest hash is for training.
    """
    import numpy as np

    place_of = {key: _place(key, seed) for key in set(keys_N)}
    places_N = np.array([place_of[key] for key in keys_N], dtype=np.float64)
    ends = np.cumsum(list(shares.values()))[:-1]
    part_N = np.searchsorted(ends, places_N, side="right")
    last = len(shares) - 1
    for label in np.unique(labels_N):
        rows = np.flatnonzero(labels_N == label)
        if not (part_N[rows] == last).any():
            key = keys_N[rows[places_N[rows].argmax()]]
            part_N[[row for row, other in enumerate(keys_N) if other == key]] = last
    return {split: np.flatnonzero(part_N == number) for number, split in enumerate(shares)}


def joined(groups_N: Sequence[str], content_N: Sequence[str]) -> list[str]:
    """A key for each row: equal for rows of one group, for rows of equal content, and for all that hang together by
    these. It is the first group's name of those that hang together."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    first: dict[str, str] = {}
    for group, content in zip(groups_N, content_N, strict=True):
        one, other = sorted((root(group), root(first.setdefault(content, group))))
        parent[other] = one
    return [root(group) for group in groups_N]


def _place(key: str, seed: int) -> float:
    found = hashlib.blake2b(f"{seed}/{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(found, "big") / 2**64
