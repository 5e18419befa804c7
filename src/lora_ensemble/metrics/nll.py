"""NLL: mean negative log-likelihood of the labels, in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"nll": "lower"}
LABELS = {"nll": "NLL"}
COLUMNS = {"nll": 20}


def score(probs_BC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 for certainty of every label, ln C for uniform predictions; a probability of 0 counts as 1e-300."""
    label_probs_B = probs_BC.gather(1, labels_B[:, None]).squeeze(1)
    nll_B = -label_probs_B.to(counts_RB).clamp(min=1e-300).log()
    return {"nll": counts_RB @ nll_B / counts_RB.sum(1)}
