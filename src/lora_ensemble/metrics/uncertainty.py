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


def prepare(total_B: Tensor, aleatoric_B: Tensor, epistemic_B: Tensor) -> Tensor:
    """(B, 3)."""
    import torch

    return torch.stack([total_B, aleatoric_B, epistemic_B], 1).double()


def score(prepared: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """Total (entropy of the mean prediction) = aleatoric (mean entropy) + epistemic (mutual information)."""
    means_3R = (counts_RB @ prepared / counts_RB[0].sum()).T
    return dict(zip(BETTER, means_3R, strict=True))
