"""Mean uncertainties of the samples that are predicted right, and of those that are predicted wrong, in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_PARTS = ("total", "aleatoric", "epistemic")
BETTER = {f"{part}_{outcome}": None for part in _PARTS for outcome in ("right", "wrong")}
LABELS = {f"{part}_{outcome}": f"{part}, {outcome} answers" for part in _PARTS for outcome in ("right", "wrong")}


def score(
    probs_BC: Tensor, total_B: Tensor, aleatoric_B: Tensor, epistemic_B: Tensor, labels_B: Tensor, counts_RB: Tensor
) -> dict[str, Tensor]:
    """0 .. ln C each; NaN where no sample is right, or none wrong. What tells mistakes is higher for wrong ones."""
    right_B = (probs_BC.argmax(-1) == labels_B).to(counts_RB)
    values = {}
    for part, value_B in zip(_PARTS, (total_B, aleatoric_B, epistemic_B), strict=True):
        for outcome, inside_B in (("right", right_B), ("wrong", 1 - right_B)):
            values[f"{part}_{outcome}"] = counts_RB @ (inside_B * value_B.to(counts_RB)) / (counts_RB @ inside_B)
    return values
