"""What rows are ranked by, by its name."""

from __future__ import annotations

from torch import Tensor

from lora_ensemble.errors import UnknownNameError
from lora_ensemble.predictions import Predictions

_RANKED = {
    "total": lambda p: p.total_B,
    "aleatoric": lambda p: p.aleatoric_B,
    "epistemic": lambda p: p.epistemic_B,
    "msp": lambda p: 1 - p.pooled_probs().max(1).values,
}


def ranked_by(p: Predictions, by: str) -> Tensor:
    """(B,) float64, the higher, the less certain. Raises UnknownNameError for another uncertainty."""
    if by not in _RANKED:
        raise UnknownNameError("uncertainty", by, _RANKED)
    found: Tensor = _RANKED[by](p).double()
    return found
