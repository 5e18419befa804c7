"""Log-score of pairs: joint negative log-likelihood of the labels of two samples, per label, in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETTER = {"nll_pairs": "lower"}
LABELS = {"nll_pairs": "joint NLL of pairs"}

ALL = 512
"""Samples up to which every pair counts; of more, each sample's pairs with those `STEPS` places further on."""
STEPS = (1, 293)


def prepare(label_logs_MB: Tensor) -> tuple[Tensor, ...]:
    """The joint scores: of every pair (B, B), or of each sample with those some places further on, (B,) for each."""
    logs_MB = label_logs_MB.clamp(min=-690.0)
    if logs_MB.shape[1] <= ALL:
        return (_joint(logs_MB[:, :, None], logs_MB[:, None]),)
    return tuple(_joint(logs_MB, logs_MB.roll(-step, 1)) for step in STEPS)


def score(prepared: tuple[Tensor, ...], counts_RB: Tensor) -> dict[str, Tensor]:
    """-ln mean_m p_m(y_i) p_m(y_j) / 2, mean over pairs of samples (Wen et al. 2022, "From Predictions to Decisions",
    section 2): how well members know together what they do not know alone. NLL for one member, and where members are
    the same; no pair is a sample with itself."""
    first, *_ = prepared
    if first.ndim == 2:
        total_R = ((counts_RB @ first) * counts_RB).sum(1) - counts_RB @ first.diagonal()
        samples_R = counts_RB.sum(1)
        return {"nll_pairs": total_R / (samples_R * (samples_R - 1))}
    total_R, weight_R = counts_RB.new_zeros(2, len(counts_RB))
    for step, joint_B in zip(STEPS, prepared, strict=True):
        both_RB = counts_RB * counts_RB.roll(-step, 1)
        total_R = total_R + both_RB @ joint_B
        weight_R = weight_R + both_RB.sum(1)
    return {"nll_pairs": total_R / weight_R}


def _joint(one_M: Tensor, other_M: Tensor) -> Tensor:
    import math

    joint: Tensor = (math.log(len(one_M)) - (one_M + other_M).logsumexp(0)) / 2
    return joint
