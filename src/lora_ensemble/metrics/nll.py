"""NLL: mean negative log-likelihood of the labels, in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"nll": "lower"}
LABELS = {"nll": "NLL"}
COLUMNS = {"nll": 20}


def prepare(label_probs_B: Tensor) -> Tensor:
    """(B,) of each sample."""
    return -label_probs_B.clamp(min=1e-300).log()


def score(prepared: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 for certainty of every label, ln C for uniform predictions; a probability of 0 counts as 1e-300."""
    return {"nll": counts_RB @ prepared / counts_RB[0].sum()}
