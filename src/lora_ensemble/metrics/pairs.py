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


def score(log_probs_MBC: Tensor, labels_B: Tensor, counts_RB: Tensor) -> dict[str, Tensor]:
    """-ln mean_m p_m(y_i) p_m(y_j) / 2, mean over pairs of samples (Wen et al. 2022, "From Predictions to Decisions",
    section 2): how well members know together what they do not know alone. NLL for one member, and where members are
    the same; no pair is a sample with itself."""
    index_MB1 = labels_B.expand(len(log_probs_MBC), -1)[..., None]
    label_logs_MB = log_probs_MBC.gather(2, index_MB1).squeeze(2).to(counts_RB).clamp(min=-690.0)
    rows = label_logs_MB.shape[1]
    if rows <= ALL:
        joint_BB = _joint(label_logs_MB[:, :, None], label_logs_MB[:, None])
        total_R = ((counts_RB @ joint_BB) * counts_RB).sum(1) - counts_RB @ joint_BB.diagonal()
        samples_R = counts_RB.sum(1)
        return {"nll_pairs": total_R / (samples_R * (samples_R - 1))}
    total_R, weight_R = counts_RB.new_zeros(2, len(counts_RB))
    for step in STEPS:
        both_RB = counts_RB * counts_RB.roll(-step, 1)
        total_R = total_R + both_RB @ _joint(label_logs_MB, label_logs_MB.roll(-step, 1))
        weight_R = weight_R + both_RB.sum(1)
    return {"nll_pairs": total_R / weight_R}


def _joint(one_M: Tensor, other_M: Tensor) -> Tensor:
    import math

    return (math.log(len(one_M)) - (one_M + other_M).logsumexp(0)) / 2
