"""Mean uncertainties of the samples that are predicted right, and of those that are predicted wrong, in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_PARTS = ("total", "aleatoric", "epistemic")
BETTER = {f"{part}_{outcome}": None for part in _PARTS for outcome in ("right", "wrong")}
LABELS = {f"{part}_{outcome}": f"{part}, {outcome} answers" for part in _PARTS for outcome in ("right", "wrong")}


def prepare(total_B: Tensor, aleatoric_B: Tensor, epistemic_B: Tensor, right_B: Tensor) -> Tensor:
    """(B, 4 + 4): of right answers, then of wrong ones, whether it is one, and the three."""
    import torch

    values_B4 = torch.stack([torch.ones_like(right_B), total_B, aleatoric_B, epistemic_B], 1)
    return torch.cat([values_B4 * right_B[:, None], values_B4 * (1 - right_B)[:, None]], 1)


def score(prepared: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. ln C each; NaN where no sample is right, or none wrong. What tells mistakes is higher for wrong ones."""
    right_R4, wrong_R4 = (counts_RB @ prepared).split(4, 1)
    means = {"right": right_R4[:, 1:] / right_R4[:, :1], "wrong": wrong_R4[:, 1:] / wrong_R4[:, :1]}
    return {f"{part}_{outcome}": means[outcome][:, k] for k, part in enumerate(_PARTS) for outcome in means}
