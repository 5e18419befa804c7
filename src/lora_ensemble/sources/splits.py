"""Splits that follow from the names and labels of the examples, whatever the order in which a source has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

VALIDATION = 0.1
"""Share of the published training split that is held out for validation."""


def carve(
    groups_N: Sequence[str], labels_N: np.ndarray, shares: Mapping[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Row numbers of each split, rising: whole groups, stratified by label, drawn from `seed`.

    groups_N: examples of one group (the images of one lesion, copies of one image) are never in two splits. A group
    has the smallest of its labels. shares: of the groups, summing to 1; the last, which is for training, gets a group
    of every label.
    """
    import numpy as np

    names_G, group_N = np.unique(np.asarray(groups_N), return_inverse=True)
    label_G = np.full(len(names_G), np.iinfo(np.int64).max)
    np.minimum.at(label_G, group_N, labels_N)
    order = stratified_order(label_G, seed)
    learnt = [np.flatnonzero(label_G[order] == label)[-1] for label in np.unique(label_G)]
    ends = np.round(np.cumsum(list(shares.values()))[:-1] * len(names_G)).astype(int)
    ends = np.minimum(ends, len(names_G) - len(learnt))
    parts = np.split(np.concatenate([np.delete(order, learnt), order[learnt]]), ends)
    return {split: np.flatnonzero(np.isin(group_N, part)) for split, part in zip(shares, parts, strict=True)}


def stratified_order(labels_N: np.ndarray, seed: int) -> np.ndarray:
    """A random order of the rows in which every beginning has close to the classes' overall shares, (N,)."""
    import numpy as np

    generator = np.random.default_rng(seed)
    place_N = np.empty(len(labels_N))
    for label in np.unique(labels_N):
        rows = np.flatnonzero(labels_N == label)
        place_N[generator.permutation(rows)] = (np.arange(len(rows)) + generator.random(len(rows))) / len(rows)
    return np.argsort(place_N)
