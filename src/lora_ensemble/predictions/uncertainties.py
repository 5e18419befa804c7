"""What the members' probabilities say, each member's and all together: in one pass over the logits, a few rows at a
time, so that what is worked on stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lora_ensemble.predictions.choose import selected

_AT_A_TIME = 2**17
"""Numbers of one member that are worked on at a time."""
_LOWEST = -800.0
"""Below this a logit under the highest one has a probability of 0 in float64."""


class Terms(NamedTuple):
    """Of one member."""

    probs_BC: Tensor
    """(B, C) float64."""
    entropy_B: Tensor
    """(B,) entropy in nats, float64."""
    class_B: Tensor
    """(B,) its most probable class."""
    max_logit_B: Tensor
    """(B,) its largest logit, float64."""
    evidence_B: Tensor
    """(B,) the logarithm of the sum of the exponentials of its logits, float64."""


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
    classes_MB: Tensor
    """(M, B) each member's most probable class."""
    max_logit_MB: Tensor
    """(M, B) each member's largest logit, float64."""
    evidence_MB: Tensor
    """(M, B) the logarithm of the sum of the exponentials of each member's logits, float64."""

    def rows(self, chosen: Tensor) -> Moments:
        """Of some of the samples."""
        names = Moments.__dataclass_fields__
        return Moments(**{name: selected(getattr(self, name), chosen, int("_MB" in name)) for name in names})


def moments_of(logits_MBC: Tensor, kept: Sequence[Terms] | None = None) -> Moments:
    """kept: each member's terms, where they are known already."""
    members, rows, num_classes = logits_MBC.shape
    mean_BC = torch.empty(rows, num_classes, dtype=torch.float64)
    total_B, aleatoric_B, epistemic_B = (torch.empty(rows) for _ in range(3))
    classes_MB = torch.empty(members, rows, dtype=torch.int64)
    max_logit_MB, evidence_MB = (torch.empty(members, rows, dtype=torch.float64) for _ in range(2))
    for part in chunks(rows, num_classes):
        part_BC = torch.zeros_like(mean_BC[part])
        own_B = torch.zeros(len(part_BC), dtype=torch.float64)
        for m in range(members):
            terms = terms_of(logits_MBC[m, part]) if kept is None else Terms(*(term[part] for term in kept[m]))
            part_BC += terms.probs_BC
            own_B += terms.entropy_B
            classes_MB[m, part], max_logit_MB[m, part], evidence_MB[m, part] = terms[2:]
        part_BC /= members
        own_B /= members
        mean_BC[part] = part_BC
        of_mean_B = own_B if members == 1 else -torch.special.xlogy(part_BC, part_BC).sum(-1)
        total_B[part], aleatoric_B[part] = of_mean_B.float(), own_B.float()
        epistemic_B[part] = (of_mean_B - own_B).clamp(min=0).float()  # Jensen; rounding may leave -1e-16
    return Moments(mean_BC, total_B, aleatoric_B, epistemic_B, classes_MB, max_logit_MB, evidence_MB)


def terms_of(logits_BC: Tensor) -> Terms:
    """Of one member."""
    logits_BC = logits_BC.to(torch.float64, copy=True)
    max_logit_B, class_B = logits_BC.max(-1)
    probs_BC = torch.softmax(logits_BC, -1)  # a row's bits do not depend on its place
    log_sum_B = -probs_BC.gather(1, class_B[:, None]).squeeze(1).log()  # of exponentials below the highest logit
    below_BC = logits_BC.sub_(max_logit_B[:, None]).clamp_(min=_LOWEST)
    # log p = below - log_sum; the probabilities sum to 1.
    entropy_B = (log_sum_B - torch.einsum("bc,bc->b", probs_BC, below_BC)).clamp_(min=0)
    return Terms(probs_BC, entropy_B, class_B, max_logit_B, max_logit_B + log_sum_B)


def chunks(rows: int, width: int, at_a_time: int = _AT_A_TIME) -> Iterator[slice]:
    """Slices that cover all rows, each of about so many numbers where a row has `width`."""
    step = max(1, at_a_time // width)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
