"""Divergence: Kullback-Leibler divergence between two members' predictions, averaged over pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"divergence": None}


def score(divergence_B: Tensor, classes_MB: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """Nats, 0 for equal members, unbounded; NaN for one member, which has no pairs.

    Mean over samples of the uncertainty `divergence`; it does not depend on the size of a batch.
    """
    import torch

    divergence_B = divergence_B if len(classes_MB) > 1 else torch.full_like(divergence_B, torch.nan)
    return {"divergence": counts_RB @ divergence_B / counts_RB[0].sum()}
