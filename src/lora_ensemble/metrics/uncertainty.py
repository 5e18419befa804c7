"""Mean total, aleatoric and epistemic uncertainty of the samples, in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"total": None, "aleatoric": None, "epistemic": None}
LABELS = {
    "total": "entropy (total)",
    "aleatoric": "expected entropy (aleatoric)",
    "epistemic": "mutual information (epistemic)",
}


def score(total_B: Tensor, aleatoric_B: Tensor, epistemic_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """Total (entropy of the mean prediction) = aleatoric (mean entropy) + epistemic (mutual information)."""
    parts = {"total": total_B, "aleatoric": aleatoric_B, "epistemic": epistemic_B}
    return {name: counts_RB @ part_B.to(counts_RB) / counts_RB.sum(1) for name, part_B in parts.items()}
