"""What the members' probabilities say together: their mean, and its entropy in two parts. A few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_ensemble.predictions.choose import selected

Terms = tuple[Tensor, Tensor]
"""Of one member p and p log p, each (B, C) float64."""

_AT_A_TIME = 2**17
"""Numbers of one member that are worked on at a time: they stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Of all members together."""

    mean_BC: Tensor
    """(B, C) mean of the members' probabilities, float64."""
    total_B: Tensor
    """(B,) entropy of that mean in nats, float32."""
    aleatoric_B: Tensor
    """(B,) mean of the members' entropies in nats, float32."""
    epistemic_B: Tensor
    """(B,) the difference: mutual information of label and member, float32."""

    def rows(self, chosen: Tensor) -> Moments:
        """Of some of the samples."""
        return Moments(*(selected(getattr(self, name), chosen, 0) for name in Moments.__dataclass_fields__))


def moments_of(logits_MBC: Tensor, kept: Sequence[Terms] | None = None) -> Moments:
    """kept: each member's terms, where they are known already."""
    members, rows, num_classes = logits_MBC.shape
    mean_BC = torch.empty(rows, num_classes, dtype=torch.float64)
    total_B, aleatoric_B, epistemic_B = (torch.empty(rows) for _ in range(3))
    for part in chunks(rows, num_classes):
        part_BC = torch.zeros_like(mean_BC[part])
        mean_of_BC = torch.zeros_like(part_BC)
        for m in range(members):
            probs_BC, terms_BC = terms_of(logits_MBC[m, part]) if kept is None else [t[part] for t in kept[m]]
            part_BC += probs_BC
            mean_of_BC += terms_BC
        part_BC /= members
        mean_of_BC /= members
        of_mean_BC = mean_of_BC if members == 1 else torch.special.xlogy(part_BC, part_BC)
        mean_BC[part] = part_BC
        total_B[part] = -of_mean_BC.sum(-1).float()
        aleatoric_B[part] = -mean_of_BC.sum(-1).float()
        # Each class contributes at least 0 (Jensen); rounding may leave a sum of -1e-17.
        epistemic_B[part] = (mean_of_BC - of_mean_BC).sum(-1).clamp(min=0).float()
    return Moments(mean_BC, total_B, aleatoric_B, epistemic_B)


def terms_of(logits_BC: Tensor) -> Terms:
    """Of one member."""
    probs_BC = torch.softmax(logits_BC.double(), -1)
    return probs_BC, torch.special.xlogy(probs_BC, probs_BC)


def chunks(rows: int, width: int, at_a_time: int = _AT_A_TIME) -> Iterator[slice]:
    """Slices that cover all rows, each of about so many numbers where a row has `width`."""
    step = max(1, at_a_time // width)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
