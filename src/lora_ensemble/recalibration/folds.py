"""Cross-fitting: every row is mapped by what was fitted without it."""

from __future__ import annotations

import torch
from torch import Tensor

FOLDS = 5


def fold_numbers(pool_BC: Tensor, labels_B: Tensor, folds: int = FOLDS) -> Tensor:
    """(B,) 0 .. folds - 1, each class spread evenly. It depends on the rows, not on their order.

    Rows are dealt out in the order of their class and, within it, of the probability that their label got."""
    label_probs_B = pool_BC.gather(1, labels_B[:, None]).squeeze(1)
    by_prob_B = label_probs_B.sort(stable=True).indices
    order_B = by_prob_B[labels_B[by_prob_B].sort(stable=True).indices]
    number_B = torch.empty_like(order_B)
    number_B[order_B] = torch.arange(len(order_B)) % min(folds, len(order_B))
    return number_B
